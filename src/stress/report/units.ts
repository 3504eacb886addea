/** Quantities as a person reads them: three significant digits and a unit. */

const DECIMAL = ['', 'k', 'M', 'G', 'T'];
const BINARY = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** `1.23 M`. */
export function countText(value: number): string {
  return scaled(value, 1000, DECIMAL);
}

/** `1.23 MiB`. */
export function bytesText(value: number): string {
  return scaled(value, 1024, BINARY);
}

/** `340 ns`, `1.2 ms`. */
export function nanosecondsText(value: number): string {
  return scaled(value, 1000, ['ns', 'µs', 'ms', 's']);
}

/** `12.3 s`, `4 min 05 s`, `20 min`, `1 h 02 min`. */
export function durationText(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 60) return `${significant(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return parts(minutes, 'min', Math.floor(seconds % 60), 's');
  return parts(Math.floor(minutes / 60), 'h', minutes % 60, 'min');
}

function parts(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${pad(small)} ${smallUnit}`;
}

export function percentText(share: number): string {
  // Not everything is not 100 %.
  const percent = share === 1 ? 100 : Math.min(share * 100, 99.99);
  return `${percent >= 99 || percent === 0 ? Number(percent.toFixed(2)) : significant(percent)} %`;
}

function scaled(value: number, base: number, units: readonly string[]): string {
  let exponent = 0;
  let rest = value;
  // What would be rounded up to the base belongs to the next unit.
  while (rest >= base * 0.9995 && exponent < units.length - 1) {
    rest /= base;
    exponent++;
  }
  return `${significant(rest)} ${units[exponent]}`.trimEnd();
}

function significant(value: number): string {
  return value >= 100 ? String(Math.round(value)) : String(Number(value.toPrecision(3)));
}

function pad(value: number): string {
  return String(value).padStart(2, '0');
}
