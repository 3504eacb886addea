/**
 * A translation as text, to be read by people and pasted into a bug report: one line for each thing that the SMMU
 * looked at, with its address, its value, what it means and the section that says so.
 */
import { DESC_AF, DESC_DIRTY } from '../arch/descriptor-masks.js';
import { EVENTS, formatEvent } from '../arch/events.js';
import type { Layout } from '../arch/layout.js';
import { BANKS } from '../arch/registers.js';
import { NON_SECURE, SECURE, SECURITY_NAMES, type SecurityState } from '../arch/security.js';
import { CD, L1CD, L1STD, STE } from '../arch/structures.js';
import { readFeatures } from '../smmu/features.js';
import type { Origin as EntryOrigin } from '../smmu/tbu/origin.js';
import { STREAM_WORLD_NAMES } from '../smmu/tbu/stream-world.js';
import type { TranslationTable } from '../smmu/tbu/table.js';
import { OUTCOME_NAMES } from '../smmu/transaction.js';
import { describeDescriptor, printSize } from './descriptor.js';
import { reasonsOf, registerSection, steOf, tableHalf, tableOf } from './reason.js';
import {
  dword,
  dwords,
  fieldValues,
  hex,
  printAttributes,
  printField,
  printNeed,
  printPermissions,
  wrap,
} from './text.js';
import {
  findStep,
  type Step,
  type StepOf,
  type StructureName,
  securityOf,
  type Translation,
} from './trace.js';

/** Where an access comes from, where that is known. */
export interface Origin {
  readonly device: string;
  /** `bb:ss.f` */
  readonly bdf: string;
  readonly requesterID: number;
  /** Of a device that is passed through. */
  readonly guest?: GuestOrigin;
}

/** A guest's side of a nested translation. */
export interface GuestOrigin {
  /** The accelerated SMMU that the guest sees. */
  readonly smmu: string;
  readonly StreamID: number;
  /** The host's device, as the physical SMMU knows it. */
  readonly hostDevice: string;
  readonly hostBdf: string;
  readonly hostRequesterID: number;
}

const STRUCTURES: Readonly<Record<StructureName, Layout>> = { L1STD, STE, L1CD, CD };
const LABEL_WIDTH = 14;
const TEXT_WIDTH = 100;
const PURPOSES = ['a CD', 'a stage 1 descriptor', 'the access'] as const;
const GBPA = { [NON_SECURE]: BANKS[NON_SECURE].GBPA, [SECURE]: BANKS[SECURE].GBPA } as const;

/** Collects lines; what does not fit into one goes on below its first word. */
class Report {
  readonly lines: string[] = [];

  add(label: string, text: string, section?: string): void {
    const end = section === undefined ? '' : `  (${section})`;
    this.lines.push(`${label.padEnd(LABEL_WIDTH)} ${text}${end}`.trimEnd());
  }

  /** Pieces over several lines, the section on the first. */
  pieces(label: string, pieces: readonly string[], section?: string): void {
    const [first = '', ...rest] = wrap(pieces, TEXT_WIDTH);
    this.add(label, first, section);
    for (const line of rest) this.add('', line);
  }
}

/** The whole explanation, line by line, without a line end. */
export function renderTranslation(translation: Translation, origin?: Origin): string[] {
  const report = new Report();
  renderRequest(report, translation, origin);
  const nested = steOf(translation)?.stage2 !== undefined;
  let fetchingDescriptors = false;
  for (const step of translation.steps) {
    if (step.kind === 'context') {
      renderContext(report, translation, step);
      fetchingDescriptors = step.context.cd !== undefined;
    } else renderStep(report, translation, step, nested && fetchingDescriptors ? '    ' : '  ');
  }
  renderResult(report, translation);
  return report.lines;
}

function renderRequest(report: Report, { config, request }: Translation, origin: Origin | undefined): void {
  const { StreamID, SubstreamID, SEC_SID, iova, write, privileged, instruction, ns } = request;
  const from = origin === undefined ? '' : `${renderDevice(report, origin)} -> `;
  const substream = SubstreamID < 0 ? '' : `, SubstreamID ${hex(SubstreamID)}`;
  report.add(config.id, `${from}StreamID ${hex(StreamID)}${substream}, SEC_SID ${SECURITY_NAMES[SEC_SID]}`);
  const what = write ? 'write' : instruction ? 'instruction fetch' : 'read';
  const attribute = SEC_SID === SECURE ? `, NS == ${ns ? 1 : 0}` : '';
  report.add('access', `${privileged ? 'privileged' : 'unprivileged'} ${what} at ${hex(iova)}${attribute}`);
}

/** The device as the SMMU that translates knows it; before it, what a guest sees instead, and whose the tables are. */
function renderDevice(report: Report, { device, bdf, requesterID, guest }: Origin): string {
  if (guest === undefined) return `${device}, ${bdf}, Requester ID ${hex(requesterID)}`;
  const { smmu, StreamID, hostDevice, hostBdf, hostRequesterID } = guest;
  report.add(
    smmu,
    `${device}, ${bdf}, Requester ID ${hex(requesterID)} -> StreamID ${hex(StreamID)}, in the guest`,
  );
  report.add('', "the guest's are CDs and stage 1 tables; an ipa is an address of its memory");
  report.add(
    '',
    "the host's are Stream table, STE and stage 2 tables; a pa is an address of the host's memory",
  );
  return `${hostDevice}, ${hostBdf}, Requester ID ${hex(hostRequesterID)}`;
}

function renderStep(report: Report, translation: Translation, step: Step, inset: string): void {
  switch (step.kind) {
    case 'bank':
      renderBank(report, translation, step);
      break;
    case 'structure':
      renderStructure(report, step);
      break;
    case 'config-hit':
      report.add(step.name, 'from the configuration cache', 'IHI 0070 3.3.3');
      break;
    case 'tlb-hit':
      renderTlbHit(report, translation, step);
      break;
    case 'table-hit':
      renderTableHit(report, translation, step, inset);
      break;
    case 'stage2':
      renderStage2(report, translation, step, inset);
      break;
    case 'stage2-hit':
      renderStage2Hit(report, translation, step, inset);
      break;
    case 'descriptor':
      renderDescriptor(report, translation, step, inset);
      break;
    case 'leaf':
      renderLeaf(report, translation, step, inset);
      break;
    case 'update':
      renderUpdate(report, step, inset);
      break;
    case 'event':
      renderEvent(report, step);
      break;
    case 'context':
    case 'fault':
      // A context is the caller's, who needs it for what follows; a fault is the result's cause.
      break;
  }
}

function renderStage2Hit(
  report: Report,
  translation: Translation,
  { pa, permissions, origin }: StepOf<'stage2-hit'>,
  inset: string,
): void {
  report.add(`${inset}TLB hit`, `pa ${hex(pa)}; grants ${printPermissions(permissions)}`, 'IHI 0070 3.17');
  renderOrigin(report, translation, origin, inset);
}

function renderTableHit(
  report: Report,
  translation: Translation,
  { stage, level, address, origin }: StepOf<'table-hit'>,
  inset: string,
): void {
  const within = stage === 1 ? '  ' : inset;
  report.add(`${within}level ${level}`, `from the TLB: table -> ${hex(address)}`, 'IHI 0070 16.2');
  renderOrigin(report, translation, origin, within);
}

/** The last descriptor of each stage that an entry was filled from, as it was then. */
function renderOrigin(
  report: Report,
  translation: Translation,
  origin: EntryOrigin | undefined,
  inset: string,
): void {
  for (const stage of [1, 2] as const) {
    const last = origin?.descriptors.findLast((descriptor) => descriptor.stage === stage);
    if (last === undefined) continue;
    const { level, pa, space, lo, hi } = last;
    const text = `stage ${stage} level ${level} at pa ${hex(pa)}${spaceNote(space)}: ${dword(lo, hi)}`;
    const table = tableOf(translation, stage);
    const meaning = table === undefined ? '' : `  ${describeDescriptor(table, stage, level, lo, hi).text}`;
    report.add(`${inset}  filled`, `by access ${origin!.access}, from ${text}${meaning}`);
  }
}

function renderBank(report: Report, { config }: Translation, { controls, security }: StepOf<'bank'>): void {
  const S = security === SECURE ? 'S_' : '';
  if (!controls.smmuen) {
    const fields = fieldValues(GBPA[security], [controls.gbpa], 'non-zero').filter(
      ({ reserved }) => !reserved,
    );
    report.add(`SMMU_${S}CR0`, 'SMMUEN == 0: GBPA decides', registerSection('CR0', security));
    report.pieces(
      `SMMU_${S}GBPA`,
      [hex(controls.gbpa >>> 0), ...fields.map(printField)],
      registerSection('GBPA', security),
    );
    return;
  }
  const bits = Math.min(controls.log2size, readFeatures(config.idr).sidSize[security]);
  const form = controls.twoLevel ? `2-level, SPLIT ${controls.split}` : 'linear';
  report.add(
    'Stream table',
    `${hex(controls.strtabBase)}, ${form}, ${bits} StreamID bits (SMMU_${S}STRTAB_BASE, SMMU_${S}STRTAB_BASE_CFG)`,
    'IHI 0070 3.3.1',
  );
}

function renderStructure(report: Report, { name, address, pa, words }: StepOf<'structure'>): void {
  const of = STRUCTURES[name];
  const where = address === pa ? `pa ${hex(pa)}` : `ipa ${hex(address)} pa ${hex(pa)}`;
  report.pieces(name, [`${where}:`, ...dwords(words)], `IHI 0070 ${of.section}`);
  const fields = fieldValues(of, words, 'non-zero').filter(({ reserved }) => !reserved);
  const pieces = fields.length === 0 ? ['all fields are 0'] : fields.map(printField);
  for (const line of wrap(pieces, TEXT_WIDTH)) report.add('', `  ${line}`);
}

/** Where walks and descriptors of a table are specified. */
function walkSection(table: TranslationTable | undefined): string {
  return table?.lpae === true ? 'DDI 0487 G5.5' : 'DDI 0487 D8.2, D8.3';
}

function printTable(table: TranslationTable): string {
  return (
    `${table.lpae ? 'VMSAv8-32 LPAE, ' : ''}${printSize(table.granuleBits)} granule, ${table.inputBits}-bit input, ${table.outputBits}-bit output, ` +
    `table at ${hex(table.base)}, starts at level ${table.startLevel}`
  );
}

function renderContext(report: Report, translation: Translation, { context }: StepOf<'context'>): void {
  const { cd, ste, world, vmid, asid } = context;
  const tags = [
    STREAM_WORLD_NAMES[world],
    ...(cd === undefined || context.singlePrivilege ? [] : [`ASID ${asid}`]),
    ...(ste.stage2 === undefined ? [] : [`VMID ${vmid}`]),
  ];
  report.add('StreamWorld', tags.join(', '), 'IHI 0070 3.3.3');
  if (cd === undefined) {
    report.add('stage 1', 'bypassed', 'IHI 0070 5.2');
    if (ste.stage2 === undefined) report.add('stage 2', 'bypassed', 'IHI 0070 5.2');
    return;
  }
  const table = tableOf(translation, 1);
  const half = tableHalf(translation);
  const name = half < 0 ? 'neither TTB0 nor TTB1' : `TTB${half}`;
  const walk = table === undefined ? 'no table walks' : printTable(table);
  report.add('stage 1', `${name}: ${walk}`, walkSection(table));
}

function renderTlbHit(
  report: Report,
  translation: Translation,
  { pa, own, parent, sizeBits, origin }: StepOf<'tlb-hit'>,
): void {
  const both = own & parent;
  const combined = (parent & own) === own ? '' : ` (stage 1 alone: ${printPermissions(own)})`;
  report.add(
    '  TLB hit',
    `${printSize(sizeBits)} entry, pa ${hex(pa)}; grants ${printPermissions(both)}${combined}`,
    'IHI 0070 3.17',
  );
  renderOrigin(report, translation, origin, '  ');
}

function renderStage2(report: Report, translation: Translation, step: StepOf<'stage2'>, inset: string): void {
  const { ipa, ipaSpace, faultClass } = step;
  const label = inset === '  ' ? 'stage 2' : '  stage 2';
  const table = tableOf(translation, 2, ipaSpace)!;
  const first = translation.steps.find((other) => other.kind === 'stage2' && other.ipaSpace === ipaSpace);
  const described = step === first ? `; ${printTable(table)}` : '';
  // A Secure stream's IPA is in one of two spaces (IHI 0070 3.10.2.2).
  const space = securityOf(translation) === SECURE ? `${SECURITY_NAMES[ipaSpace]} ` : '';
  report.add(label, `${space}ipa ${hex(ipa)} of ${PURPOSES[faultClass]}${described}`, walkSection(table));
}

function spaceNote(space: SecurityState): string {
  return space === SECURE ? ' secure' : '';
}

function renderDescriptor(
  report: Report,
  translation: Translation,
  { stage, level, address, pa, space, ipaSpace, lo, hi }: StepOf<'descriptor'>,
  inset: string,
): void {
  const table = tableOf(translation, stage, ipaSpace)!;
  const { text } = describeDescriptor(table, stage, level, lo, hi);
  const where = address === pa ? `pa ${hex(pa)}` : `ipa ${hex(address)} pa ${hex(pa)}`;
  const label = `${stage === 1 ? '  ' : inset}level ${level}`;
  report.add(label, `${where}${spaceNote(space)}: ${dword(lo, hi)}  ${text}`);
}

function renderLeaf(
  report: Report,
  translation: Translation,
  { stage, pa, permissions }: StepOf<'leaf'>,
  inset: string,
): void {
  const output = stage === 1 && steOf(translation)?.stage2 !== undefined ? 'ipa' : 'pa';
  report.add(
    `${stage === 1 ? '  ' : inset}output`,
    `${output} ${hex(pa)}; grants ${printPermissions(permissions)}`,
    stage === 1 ? 'DDI 0487 D8.4.1' : 'DDI 0487 D8.4.2',
  );
}

function renderUpdate(
  report: Report,
  { stage, pa, space, lo, newLo }: StepOf<'update'>,
  inset: string,
): void {
  const changed = lo ^ newLo;
  const dirty = stage === 1 ? 'AP[2] = 0' : 'S2AP[1] = 1';
  const what = [
    ...((changed & DESC_AF) !== 0 ? ['AF = 1'] : []),
    ...((changed & DESC_DIRTY) !== 0 ? [`${dirty}, writable-dirty now`] : []),
  ];
  const label = `${stage === 1 ? '  ' : inset}update`;
  report.add(label, `pa ${hex(pa)}${spaceNote(space)}: ${what.join(', ')}`, 'IHI 0070 3.13');
}

function renderEvent(report: Report, { words, security }: StepOf<'event'>): void {
  const of = EVENTS.get(words[0]! & 0xff);
  const S = security === SECURE ? 'Secure ' : '';
  report.pieces('event', [`${S}${formatEvent(words)}`], of && `IHI 0070 ${of.section}`);
  report.pieces('', [
    'record',
    ...Array.from({ length: 4 }, (_, i) => dword(words[2 * i]!, words[2 * i + 1]!)),
  ]);
}

function renderResult(report: Report, translation: Translation): void {
  const need = findStep(translation, 'context')?.need;
  const { outcome, pa, space, attributes } = translation;
  const needed = need === undefined ? '' : `; ${printNeed(need)} needed`;
  if (attributes !== undefined) {
    const { privileged, instruction } = attributes;
    const kind = `${privileged ? 'privileged' : 'unprivileged'} ${instruction ? 'instruction' : 'data'}`;
    report.add('attributes', `${printAttributes(attributes)}, ${kind}`, 'IHI 0070 13.4');
    report.add(
      'result',
      `ok: pa ${hex(pa)}, ${SECURITY_NAMES[space]} PA space${needed}${need === undefined ? '' : ', granted'}`,
    );
    return;
  }
  report.add('result', `${OUTCOME_NAMES[outcome]}${needed}`);
  for (const { text, section } of reasonsOf(translation)) report.add('cause', text, section);
}
