/** I5: the command `decode`: options to features, errors of the user. */
import { afterEach, describe, expect, test, vi } from 'vitest';
import { type DecodeArguments, decode } from '../../src/cli/decode.js';
import { SUCCESS, UsageError } from '../../src/cli/exit-status.js';

async function run(name: string, words: readonly string[], args: Partial<DecodeArguments> = {}) {
  const said: string[] = [];
  vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => said.push(String(chunk)) > 0);
  const rest = {
    idr: [],
    security: 'non-secure',
    stage: 1,
    granule: '4KB',
    addressBits: 48,
    all: false,
    json: false,
  } as const;
  const status = await decode({ name, words, ...rest, ...args });
  return { status, text: said.join('') };
}

afterEach(() => vi.restoreAllMocks());

describe('I5: decode on the command line', () => {
  test('prints fields, status 0', async () => {
    const { status, text } = await run('CR0', ['0x1']);
    expect(status).toBe(SUCCESS);
    expect(text).toBe('SMMU_CR0 (IHI 0070 6.3.9)  0x00000001\n  [0]  SMMUEN=1\n');
  });

  test('--json is one document with every field', async () => {
    const { text } = await run('cmd', ['46'.padEnd(32, '0')], { json: true });
    const [reading] = JSON.parse(text);
    expect(reading.name).toBe('CMD_SYNC');
    expect(reading.fields[0]).toEqual({ name: 'Opcode', hi: 7, lo: 0, value: '0x46', reserved: false });
  });

  test('--idr chooses the SMMU that judges', async () => {
    const ste = ['0xd', ...new Array<string>(7).fill('0x0')];
    expect((await run('ste', ste)).text).not.toContain('Config enables stage 2');
    const without = await run('ste', ste, { idr: ['IDR0=0x0d44101a'] });
    expect(without.text).toContain('ILLEGAL: Config enables stage 2');
  });

  test("the user's mistakes are UsageErrors, exit status 2", async () => {
    await expect(run('CR0', ['0x1', '0x2'])).rejects.toThrow(UsageError);
    await expect(run('nothing', ['0x1'])).rejects.toThrow(UsageError);
    await expect(run('CR0', ['0x1'], { idr: ['IDR9=0x1'] })).rejects.toThrow(UsageError);
    await expect(run('CR0', ['0x1'], { idr: ['IDR0=1'] })).rejects.toThrow(UsageError);
  });
});
