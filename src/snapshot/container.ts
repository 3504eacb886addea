/**
 * The file: a header and named, versioned sections.
 *
 *     0   8 bytes   "smmusnap"
 *     8   u32       version of the container
 *     12  u32       number of sections
 *     16  u64       bytes of the file
 *     24  32 bytes  SHA-256 of everything else
 *     56            sections: u16 bytes of the name, u16 bytes of the instance's name, u32 version, u32 bytes of the
 *                   content, u32 bytes as they are stored, both names in UTF-8, the content, deflated
 *
 * Numbers are little-endian. The header is the last to be written: a file that is cut off never looks whole.
 */
import { createHash } from 'node:crypto';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { refuseVersion } from './codec.js';
import { SnapshotError } from './error.js';

export const CONTAINER_VERSION = 1;
const MAGIC = Buffer.from('smmusnap', 'latin1');
const HEADER_BYTES = 56;
const DIGEST_OFFSET = 24;
const SECTION_HEADER_BYTES = 16;
/** Sections of a file, and bytes of one: what a machine of this simulator can need, and no more than a reader can hold. */
const SECTIONS_MAX = 0x10_0000;
export const SECTION_BYTES_MAX = 0x1000_0000;
const NAME_BYTES_MAX = 1024;

/** Speed: what is stored is mostly page tables and patterns. */
const DEFLATE_LEVEL = 1;

export interface Section {
  readonly name: string;
  /** Which of several the section is about: an SMMU's id, a memory region's. Empty where there is but one. */
  readonly instance: string;
  readonly version: number;
  /** The content. */
  readonly bytes: Uint8Array;
}

/** A section whose content is still to be inflated. */
export interface StoredSection extends Omit<Section, 'bytes'> {
  readonly sizeBytes: number;
  readonly stored: Uint8Array;
}

/** `smmuv3/bank_s of smmu0`. */
export function describeSection({ name, instance }: Pick<Section, 'name' | 'instance'>): string {
  return instance === '' ? `section ${name}` : `section ${name} of ${instance}`;
}

/** The bytes of one section as the file has them. */
export function encodeSection({ name, instance, version, bytes }: Section): Buffer {
  const stored = deflateRawSync(bytes, { level: DEFLATE_LEVEL });
  const names = [Buffer.from(name), Buffer.from(instance)] as const;
  const header = Buffer.alloc(SECTION_HEADER_BYTES);
  header.writeUInt16LE(names[0].length, 0);
  header.writeUInt16LE(names[1].length, 2);
  header.writeUInt32LE(version, 4);
  header.writeUInt32LE(bytes.length, 8);
  header.writeUInt32LE(stored.length, 12);
  return Buffer.concat([header, ...names, stored]);
}

/** Makes the header of sections that are written one after the other. */
export class HeaderMaker {
  readonly #digest = createHash('sha256');
  #sections = 0;
  #bytes = HEADER_BYTES;

  /** Room for the header, to be written first. */
  static placeholder(): Buffer {
    return Buffer.alloc(HEADER_BYTES);
  }

  add(section: Buffer): void {
    this.#digest.update(section);
    this.#sections++;
    this.#bytes += section.length;
  }

  finish(): Buffer {
    const header = Buffer.alloc(HEADER_BYTES);
    MAGIC.copy(header);
    header.writeUInt32LE(CONTAINER_VERSION, 8);
    header.writeUInt32LE(this.#sections, 12);
    header.writeBigUInt64LE(BigInt(this.#bytes), 16);
    this.#digest.update(header.subarray(0, DIGEST_OFFSET));
    this.#digest.digest().copy(header, DIGEST_OFFSET);
    return header;
  }
}

/**
 * Takes a file apart. Contents stay deflated.
 * @throws SnapshotError: foreign, version, truncated, damaged, malformed; in that order of suspicion
 */
export function parseContainer(file: Buffer): StoredSection[] {
  if (!file.subarray(0, MAGIC.length).equals(MAGIC)) {
    throw new SnapshotError('foreign', 'it is no snapshot of smmulator');
  }
  if (file.length < HEADER_BYTES) throw new SnapshotError('truncated', 'it ends within its header');
  const version = file.readUInt32LE(8);
  if (version !== CONTAINER_VERSION) refuseVersion('the file', version, CONTAINER_VERSION);
  const sizeBytes = file.readBigUInt64LE(16);
  if (BigInt(file.length) < sizeBytes) {
    throw new SnapshotError('truncated', `it has ${file.length} of its ${sizeBytes} bytes`);
  }
  const digest = createHash('sha256')
    .update(file.subarray(HEADER_BYTES))
    .update(file.subarray(0, DIGEST_OFFSET));
  if (
    BigInt(file.length) !== sizeBytes ||
    !digest.digest().equals(file.subarray(DIGEST_OFFSET, HEADER_BYTES))
  ) {
    throw new SnapshotError('damaged', 'its checksum is wrong: it is not as it was written');
  }
  return parseSections(file, file.readUInt32LE(12));
}

function parseSections(file: Buffer, count: number): StoredSection[] {
  if (count > SECTIONS_MAX) throw new SnapshotError('malformed', `it has ${count} sections`);
  const sections: StoredSection[] = [];
  let at = HEADER_BYTES;
  const take = (sizeBytes: number): Buffer => {
    if (sizeBytes > file.length - at) throw new SnapshotError('malformed', 'a section goes beyond the end');
    at += sizeBytes;
    return file.subarray(at - sizeBytes, at);
  };
  for (let i = 0; i < count; i++) {
    const header = take(SECTION_HEADER_BYTES);
    const lengths = [header.readUInt16LE(0), header.readUInt16LE(2)] as const;
    const sizeBytes = header.readUInt32LE(8);
    if (Math.max(...lengths) > NAME_BYTES_MAX || sizeBytes > SECTION_BYTES_MAX) {
      throw new SnapshotError('malformed', `section ${i + 1} is larger than any can be`);
    }
    const name = take(lengths[0]).toString();
    const instance = take(lengths[1]).toString();
    sections.push({
      name,
      instance,
      version: header.readUInt32LE(4),
      sizeBytes,
      stored: take(header.readUInt32LE(12)),
    });
  }
  if (at !== file.length) throw new SnapshotError('malformed', 'something follows the last section');
  return sections;
}

/** @throws SnapshotError, malformed: never more is inflated than the section says, and than a section may have */
export function inflateSection(section: StoredSection): Buffer {
  let content: Buffer | undefined;
  try {
    content = inflateRawSync(section.stored, { maxOutputLength: Math.max(section.sizeBytes, 1) });
  } catch {
    // What zlib finds wrong is of no interest: the content is not what the section says.
  }
  if (content?.length !== section.sizeBytes) {
    throw new SnapshotError('malformed', `${describeSection(section)} cannot be inflated`);
  }
  return content;
}
