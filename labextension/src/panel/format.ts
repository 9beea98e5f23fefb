// How times, sizes and shares read as text: the same words as autodeploy_magic/notebook/text.py.

/** What stands for what is not known. */
export const UNKNOWN = '–';

/** A time: "0.02 ms", "3.4 ms", "0.80 s", "1 min 5 s". */
export function durationText(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return UNKNOWN;
  if (seconds < 0.1) return `${fixed(seconds * 1e3, seconds < 0.001 ? 2 : 1)} ms`;
  if (seconds < 60) return `${fixed(seconds, seconds < 10 ? 2 : 0)} s`;
  return `${Math.floor(seconds / 60)} min ${fixed(seconds % 60, 0)} s`;
}

/** A size: "431 B", "12 kB", "3.4 MB". */
export function sizeText(bytes: number | null | undefined): string {
  if (bytes === null || bytes === undefined || Number.isNaN(bytes)) return UNKNOWN;
  let size = bytes;
  for (const unit of ['B', 'kB', 'MB']) {
    if (size < 1000) return `${fixed(size, unit === 'B' || size >= 10 ? 0 : 1)} ${unit}`;
    size /= 1000;
  }
  return `${fixed(size, 1)} GB`;
}

/** A share of traffic: "10%", "0.5%". */
export function shareText(share: number): string {
  return `${Number((100 * share).toPrecision(4))}%`;
}

/** How long ago something was: "3 d", "2 h", "5 min", "12 s". */
export function ageText(seconds: number): string {
  const whole = Math.max(0, Math.trunc(seconds));
  const sizes: [number, string][] = [
    [86400, 'd'],
    [3600, 'h'],
    [60, 'min'],
  ];
  for (const [size, unit] of sizes) if (whole >= size) return `${Math.floor(whole / size)} ${unit}`;
  return `${whole} s`;
}

/** A rate: "0 /s", "0.2 /s", "12 /s", "1,240 /s". */
export function rateText(perSecond: number | null | undefined): string {
  if (perSecond === null || perSecond === undefined || Number.isNaN(perSecond)) return UNKNOWN;
  return `${countText(perSecond)} /s`;
}

/** A count that may be a mean: "0", "0.2", "3.5", "12", "1,240". */
export function countText(count: number | null | undefined): string {
  if (count === null || count === undefined || Number.isNaN(count)) return UNKNOWN;
  if (count === 0) return '0';
  if (count < 0.1) return fixed(count, 2);
  if (count < 10) return Number.isInteger(count) ? String(count) : fixed(count, 1);
  return fixed(count, 0).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** A share of requests, errors say: "0.00 %", "0.12 %", "3.1 %", "40 %". */
export function percentText(share: number | null | undefined): string {
  if (share === null || share === undefined || Number.isNaN(share)) return UNKNOWN;
  const percent = 100 * share;
  return `${fixed(percent, percent < 1 ? 2 : percent < 10 ? 1 : 0)} %`;
}

/** CPU as a share of one core: "34 %", "0.4 %", "180 %". */
export function coresText(cores: number | null | undefined): string {
  if (cores === null || cores === undefined || Number.isNaN(cores)) return UNKNOWN;
  const percent = 100 * cores;
  return `${fixed(percent, percent < 1 && percent > 0 ? 1 : 0)} %`;
}

/** A time of day, here: "11:02:14". */
export function clockText(seconds: number, withSeconds = true): string {
  const time = new Date(seconds * 1000);
  const parts = [time.getHours(), time.getMinutes(), ...(withSeconds ? [time.getSeconds()] : [])];
  return parts.map((part) => String(part).padStart(2, '0')).join(':');
}

/** A day and a time, here: "2025-11-21 11:02"; today's as the time alone. */
export function momentText(seconds: number, nowS: number, withSeconds = false): string {
  const clock = clockText(seconds, withSeconds);
  return dayText(seconds) === dayText(nowS) ? clock : `${dayText(seconds)} ${clock}`;
}

/** A day, here: "2025-11-21". */
export function dayText(seconds: number): string {
  const time = new Date(seconds * 1000);
  return [time.getFullYear(), time.getMonth() + 1, time.getDate()]
    .map((part) => String(part).padStart(2, '0'))
    .join('-');
}

/** A window of time, as its choice reads: "1 min", "6 h". */
export function windowText(seconds: number): string {
  return seconds < 3600 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

/** `toFixed` as Python's format does it: an exact tie goes to the even digit. */
export function fixed(value: number, digits: number): string {
  const rounded = value.toFixed(digits);
  const [, rest = ''] = value.toFixed(Math.min(100, digits + 30)).split('.');
  if (!/^50*$/.test(rest.slice(digits))) return rounded;
  const last = Number(rounded.replace(/\D/g, '').slice(-1));
  if (last % 2 === 0) return rounded;
  const step = 10 ** -digits * Math.sign(value);
  return (Number(rounded) - step).toFixed(digits);
}
