/*
 * The yardstick: what the work of an SMMU costs in C, written for speed and nothing else.
 *
 * Per access: stream and configuration look-up, a direct-mapped TLB in front of a 4-way one, a walk on a miss (stage 1,
 * stage 2 or nested, generic in granule and level), permission check, copy of the data, an event record on a fault.
 * It leaves out what makes a model a model: Security states, substreams, hierarchical and output attributes, invalidation,
 * registers. So it is a limit, not a rival. One thread, plain loads; descriptors are read whole.
 *
 * It obeys lines on standard input (bench/c-kernel.ts): `ram FILE BYTES`, `stream ID S1 S2`, `accesses FILE`, and
 * `run BYTES FIRST COUNT`, which answers with the nanoseconds of one access, the sum of the output addresses and the faults.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

typedef uint64_t u64;
typedef uint32_t u32;

#define RAM_BASE 0x40000000ull
#define RAM_BYTES 0x40000000ull
#define STREAMS 256
#define ACCESSES 65536
#define OUTPUT_BITS 44
#define ADDRESS 0xfffffffff000ull
#define PAGE 4095ull

typedef struct { u32 valid, context; u64 s1, s2; } Stream;
typedef struct { u64 tag, page; } First;
typedef struct { u64 page, context, out, unused; } Second;
typedef struct { u32 stream, unused; u64 va; } Access;
typedef struct { u64 pa; u32 permissions; } Leaf;

enum { FETCH = 0x0b, TRANSLATION = 0x10, ADDR_SIZE = 0x11, ACCESS_FLAG = 0x12, PERMISSION = 0x13, BAD_STE = 4 };
/* The permission bit of an unprivileged read; a write's is the next one. */
enum { READ = 1 };

static uint8_t *ram;
static Stream streams[STREAMS];
static First first[4096] __attribute__((aligned(128)));
static Second second[2048 * 4] __attribute__((aligned(128)));
static Access accesses[ACCESSES];
static u32 events[256 * 8], event_prod, victim;
static u64 hits, misses;

static inline int load(u64 pa, u64 *descriptor) {
  u64 offset = pa - RAM_BASE;
  if (__builtin_expect(offset > RAM_BYTES - 8, 0)) return 0;
  *descriptor = __atomic_load_n((u64 *)(ram + offset), __ATOMIC_RELAXED);
  return 1;
}

static inline u32 stage1_permissions(u32 ap) {
  u32 user = ap & 1, read_only = ap >> 1 & 1, mask = 0x4c;
  if (read_only) mask &= ~8u;
  if (user) mask |= 0x11 | (read_only ? 0 : 2);
  return mask;
}

static inline u32 stage2_permissions(u64 descriptor) {
  return (descriptor >> 6 & 1 ? 0x55 : 0) | (descriptor >> 7 & 1 ? 0x0a : 0);
}

/* One stage, inlined twice: NESTED translates the address of each descriptor through stage 2. */
#define WALK(NAME, NESTED, PERMISSIONS) \
  static __attribute__((noinline)) int NAME(const Stream *s, u64 root, u64 input, int granule, int level, Leaf *leaf) { \
    int stride = granule - 3; \
    u32 ap_table = 0; \
    for (u64 table = root;; level++) { \
      int shift = granule + stride * (3 - level); \
      u64 at = table + (((input >> shift) & ((1u << stride) - 1)) << 3), d; \
      NESTED \
      if (!load(at, &d)) return FETCH; \
      if (!(d & 1)) return TRANSLATION; \
      if (level < 3 && (d & 2)) { \
        table = d & ADDRESS; \
        if (table >> OUTPUT_BITS) return ADDR_SIZE; \
        ap_table |= d >> 61 & 3; \
        continue; \
      } \
      if (level == 3 ? !(d & 2) : level == 0) return TRANSLATION; \
      u64 within = (1ull << shift) - 1, out = (d & ADDRESS & ~within) | (input & within); \
      if (out >> OUTPUT_BITS) return ADDR_SIZE; \
      if (!(d & 0x400)) return ACCESS_FLAG; \
      leaf->pa = out; \
      leaf->permissions = PERMISSIONS; \
      return 0; \
    } \
  }

#define STAGE1_AP (((d >> 6 & 3) | (ap_table & 2)) & ~(ap_table & 1))
WALK(walk2, (void)s;, stage2_permissions(d) | (ap_table & 0))
WALK(walk1, (void)s;, stage1_permissions(STAGE1_AP))
WALK(walk1_nested, {
  Leaf table_page;
  int fault = walk2(s, s->s2, at, 12, 0, &table_page);
  if (fault) return fault;
  if (!(table_page.permissions & READ)) return PERMISSION;
  at = table_page.pa;
}, stage1_permissions(STAGE1_AP))

static int walk(const Stream *s, u64 va, Leaf *leaf) {
  if (!s->s1) return walk2(s, s->s2, va, 12, 0, leaf);
  if (!s->s2) return walk1(s, s->s1, va, 12, 0, leaf);
  int fault = walk1_nested(s, s->s1, va, 12, 0, leaf);
  if (fault) return fault;
  u32 permissions = leaf->permissions;
  fault = walk2(s, s->s2, leaf->pa, 12, 0, leaf);
  leaf->permissions &= permissions;
  return fault;
}

static __attribute__((noinline)) void record(u32 event, u32 stream, u64 va) {
  u32 *words = events + (event_prod & 255) * 8;
  words[0] = event;
  words[1] = stream;
  words[2] = 0;
  words[3] = 8;
  memcpy(words + 4, &va, 8);
  words[6] = words[7] = 0;
  __atomic_store_n(&event_prod, event_prod + 1, __ATOMIC_SEQ_CST);
}

/* The output address, or 0 after a fault. */
static inline u64 translate(u32 stream, u64 va, u32 need) {
  if (stream >= STREAMS || !streams[stream].valid) return record(BAD_STE, stream, va), 0;
  const Stream *s = streams + stream;
  u64 tag = va >> 12 | (u64)s->context << 40;
  First *front = first + (((va >> 12) ^ s->context * 0x9E3779B1u) & 4095);
  u64 out;
  if (front->tag == tag) {
    hits++;
    out = front->page;
  } else {
    u64 page = va & ~PAGE;
    Second *way = second + (((va >> 12) ^ s->context * 0x9E3779B9u) & 2047) * 4, *end = way + 4;
    while (way < end && !(way->page == page && way->context == s->context)) way++;
    if (way < end) hits++;
    else {
      Leaf leaf;
      misses++;
      int fault = walk(s, va, &leaf);
      if (fault) return record(fault, stream, va), 0;
      way = end - 4 + (victim++ & 3);
      *way = (Second){page, s->context, (leaf.pa & ~PAGE) | leaf.permissions, 0};
    }
    out = way->out;
    *front = (First){tag, out};
  }
  if (!(out & need)) return record(PERMISSION, stream, va), 0;
  return (out & ~PAGE) | (va & PAGE);
}

/* Reads bytes through the SMMU, split at 4 KiB; answers the first output address, or 0. */
static __attribute__((noinline)) u64 dma_read(u32 stream, u64 va, u32 bytes, uint8_t *into) {
  u64 start = 0;
  do {
    u64 pa = translate(stream, va, READ);
    if (!pa) return 0;
    if (!start) start = pa;
    u32 part = 4096 - (va & PAGE);
    if (bytes < part) part = bytes;
    u64 offset = pa - RAM_BASE;
    if (offset > RAM_BYTES - part) return 0;
    if (part) memcpy(into, ram + offset, part);
    bytes -= part;
    va += part;
    into += part;
  } while (bytes);
  return start;
}

static double now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

static void slice(u32 bytes, u32 start, u32 count, u64 *sum, u32 *faults) {
  static uint8_t device[8192] __attribute__((aligned(128)));
  *sum = *faults = 0;
  for (u32 i = start; i < start + count; i++) {
    u64 pa = dma_read(accesses[i].stream, accesses[i].va, bytes, device);
    if (pa) *sum += pa;
    else ++*faults;
  }
}

static void read_file(const char *name, void *into, size_t bytes) {
  FILE *file = fopen(name, "rb");
  if (!file || fread(into, 1, bytes, file) != bytes) {
    fprintf(stderr, "cannot read %zu bytes of %s\n", bytes, name);
    exit(1);
  }
  fclose(file);
}

int main(void) {
  char line[4096], name[4000];
  ram = mmap(0, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (ram == MAP_FAILED) return 1;
  while (fgets(line, sizeof line, stdin)) {
    u64 a, b;
    u32 id, bytes, start, count;
    if (sscanf(line, "ram %3999s %lu", name, &a) == 2) read_file(name, ram, a);
    else if (sscanf(line, "accesses %3999s", name) == 1) read_file(name, accesses, sizeof accesses);
    else if (sscanf(line, "stream %u %lu %lu", &id, &a, &b) == 3 && id < STREAMS) {
      /* Streams of one pair of tables share a context, as streams of one ASID and VMID do. */
      u32 context = id;
      while (context && streams[context - 1].s1 == a && streams[context - 1].s2 == b) context--;
      streams[id] = (Stream){1, context + 1, a, b};
    } else if (sscanf(line, "run %u %u %u", &bytes, &start, &count) == 3 && start + count <= ACCESSES) {
      u64 sum;
      u32 faults;
      double began = now_ns();
      slice(bytes, start, count, &sum, &faults);
      printf("%.4f %lu %u\n", (now_ns() - began) / count, sum, faults);
    } else {
      fprintf(stderr, "not understood: %s", line);
      return 1;
    }
    fflush(stdout);
  }
  return 0;
}
