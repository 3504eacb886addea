/**
 * Where the TBUs' kernels work beside guest memory: a part for each SMMU's TBU in each lane. Apart from the view of the machine,
 * because the threads of SMMUs have no TBU and need not load one.
 */
import type { Machine } from '../../machine/types.js';
import type { GuestMemory, Workspace } from '../../memory/guest-memory.js';
import { workspaceBytes } from '../../smmu/tbu/translation-kernel.js';
import type { ControlShape } from './control.js';

/** Beyond this the TBUs do without: it is address space that guest memory could have. */
const TOTAL_BYTES_MAX = 0x1000_0000;

/** What of a thread's view of the machine it takes to find one. */
interface Surroundings {
  readonly machine: Machine;
  readonly memory: GuestMemory;
  readonly shared: { readonly shape: ControlShape };
}

/** Bytes of all of them; 0 where the TBUs do without. */
export function workspacesBytes(machine: Machine, lanes: number): number {
  return layOut(machine, lanes).total;
}

/** Where the kernel of an SMMU's TBU in one lane works; undefined where there is no room for it. */
export function workspaceOf(view: Surroundings, smmu: number, lane: number): Workspace | undefined {
  const { machine, memory, shared } = view;
  const bytes = workspaceBytes(machine.smmus[smmu]!.config.tlb);
  const { starts, total } = layOut(machine, shared.shape.lanes);
  // A memory that is recycled may have less than this machine needs.
  if (bytes === 0 || total === 0 || total > memory.handle.workspaceBytes) return undefined;
  return memory.workspace(starts[smmu]! + lane * bytes, bytes);
}

/** Byte offset of the part of each SMMU's first lane, and of the end. */
function layOut(
  { smmus }: Machine,
  lanes: number,
): { readonly starts: readonly number[]; readonly total: number } {
  let total = 0;
  const starts = smmus.map(({ config }) => {
    const start = total;
    total += lanes * workspaceBytes(config.tlb);
    return start;
  });
  return { starts, total: total > TOTAL_BYTES_MAX ? 0 : total };
}
