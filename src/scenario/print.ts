/**
 * Steps and values as lines of text, for reports about a replay.
 */
import { REGISTERS } from '../arch/registers.js';
import { NON_SECURE, SECURITY_NAMES, type SecurityState } from '../arch/security.js';
import type { DmaExpectation, DmaOutcomeStep, DmaStep, EventWords, Step } from './format.js';

const SHOWN_BYTES = 64;

export function hex(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}

export function hexOf(bytes: Uint8Array): string {
  const shown = [...bytes.subarray(0, SHOWN_BYTES)]
    .map((byte) => byte.toString(16).padStart(2, '0'))
    .join('');
  return bytes.length > SHOWN_BYTES ? `${shown}... (${bytes.length} bytes)` : shown;
}

export function printWords(words: EventWords): string {
  return words.map((word) => `0x${word.toString(16).padStart(16, '0')}`).join(' ');
}

function state(security: SecurityState): string {
  return security === NON_SECURE ? '' : ` ${SECURITY_NAMES[security]}`;
}

function printRegister(offset: number): string {
  const register = REGISTERS.find(
    (candidate) => offset - candidate.offset >= 0 && offset - candidate.offset < candidate.bits / 8,
  );
  if (register === undefined) return hex(offset);
  const into = offset - register.offset;
  return `${register.name}${into === 0 ? '' : ` + ${hex(into)}`} (${hex(offset)})`;
}

function printDma(step: DmaStep): string {
  const attributes = [
    step.SubstreamID < 0 ? '' : ` SubstreamID ${hex(step.SubstreamID)}`,
    state(step.SEC_SID),
    step.privileged ? ' privileged' : '',
    step.instruction ? ' instruction' : '',
    step.ns ? ' NS' : '',
  ].join('');
  const access = `${step.write ? 'write' : 'read'} of ${step.sizeBytes} bytes at ${hex(step.iova)}`;
  return `dma ${access}, StreamID ${hex(step.StreamID)}${attributes}`;
}

/** What a step does, without what it expects. */
export function printStep(step: Step): string {
  switch (step.op) {
    case 'mem.write':
      return `mem.write ${hex(step.pa)}${state(step.space)}: ${hexOf(step.bytes)}`;
    case 'mem.read':
      return `mem.read of ${step.sizeBytes} bytes at ${hex(step.pa)}${state(step.space)}`;
    case 'mem.copy':
      return `mem.copy of ${step.sizeBytes} bytes from ${hex(step.from)} to ${hex(step.to)}`;
    case 'mmio.write':
      return `mmio.write ${printRegister(step.offset)}, ${step.sizeBytes} bytes${state(step.security)}: ${hex(step.value)}`;
    case 'mmio.read':
      return `mmio.read ${printRegister(step.offset)}, ${step.sizeBytes} bytes${state(step.security)}`;
    case 'dma':
      return printDma(step);
    case 'dma.outcome':
      return `dma.outcome of ${step.id}`;
    case 'events':
      return `events${state(step.SEC_SID)}`;
    case 'irq':
      return `irq${state(step.SEC_SID)}`;
    case 'inject':
      return `inject ${step.fault} at ${hex(step.pa)}, ${hex(step.sizeBytes)} bytes${state(step.space)}`;
    case 'snapshot':
      return `snapshot as ${step.as}`;
    case 'restore':
      return `restore from ${step.from}`;
    case 'reset':
      return `reset${step.smmu === undefined ? '' : ` of ${step.smmu}`}`;
    case 'note':
      return `note: ${step.text}`;
  }
}

export function printExpectation(expect: DmaExpectation): string {
  if (expect.result !== 'ok') return expect.result;
  const pa = expect.pa === undefined ? '' : `, pa ${hex(expect.pa)}`;
  const space = expect.space === undefined ? '' : ` ${SECURITY_NAMES[expect.space]}`;
  const data = expect.bytes === undefined ? '' : `, data ${hexOf(expect.bytes)}`;
  return `ok${pa}${space}${data}`;
}

export function printOutcome({ result, bytes }: DmaOutcomeStep['expect']): string {
  return bytes === undefined ? result : `${result}, data ${hexOf(bytes)}`;
}
