// Bounds and ticks of the value axes: round numbers that stay where they are while the values move a little.

export type Bounds = [number, number];

const LADDER = [1, 2, 5];

/** The nearest 1, 2 or 5 × 10ⁿ at or above (`up`) or at or below a value. */
export function roundTo(value: number, up: boolean): number {
  const power = 10 ** Math.floor(Math.log10(value) + 1e-9);
  const digit = value / power;
  if (up) return power * (LADDER.find((step) => step >= digit - 1e-9) ?? 10);
  return power * (LADDER.filter((step) => step <= digit + 1e-9).pop() ?? 1);
}

/**
 * Bounds of a logarithmic axis around the values, at least a decade apart; `limit` (an SLO) is inside where it is near.
 *
 * `before` are the last bounds: they are kept while the values are within and fill enough of them.
 */
export function logBounds(
  min: number | null,
  max: number | null,
  limit: number | null,
  before: Bounds | null,
): Bounds {
  if (min === null || max === null || !(max > 0)) return before ?? [0.001, 0.1];
  const nearby = limit !== null && limit <= max * 20 && limit >= min / 20;
  const low = Math.max(1e-6, nearby ? Math.min(min, limit) : min);
  const high = nearby ? Math.max(max, limit * 1.15) : max;
  if (before !== null && low >= before[0] && high <= before[1]) {
    const filled = Math.log(high / low) / Math.log(before[1] / before[0]);
    if (filled > 0.45) return before;
  }
  let bottom = roundTo(low * 0.9, false);
  let top = roundTo(high * 1.1, true);
  while (top / bottom < 9.99) {
    if (top / high <= low / bottom) top = roundTo(top * 1.5, true);
    else bottom = roundTo(bottom * 0.7, false);
  }
  return [bottom, top];
}

/** Ticks of a logarithmic axis: 1, 2, 5 of each decade, thinned to at most `most`. */
export function logTicks([min, max]: Bounds, most: number): number[] {
  const decades = Math.ceil(Math.log10(max / min));
  for (const steps of [LADDER, [1, 3], [1]]) {
    const ticks: number[] = [];
    for (let power = 10 ** Math.floor(Math.log10(min) + 1e-9), i = 0; i <= decades; i += 1, power *= 10)
      for (const step of steps) {
        const tick = step * power;
        if (tick >= min * 0.999 && tick <= max * 1.001) ticks.push(tick);
      }
    if (ticks.length <= most) return ticks;
  }
  return [min, max];
}

/** Bounds of an axis that begins at zero. `least` is the smallest top, so that idle noise does not fill the picture. */
export function zeroBounds(max: number | null, least: number, before: Bounds | null): Bounds {
  const high = Math.max(max ?? 0, least);
  if (before !== null && high <= before[1] && high >= before[1] * 0.38) return before;
  return [0, niceTop(high * 1.05)];
}

/** Zero, the middle and the top. */
export function zeroTicks([min, max]: Bounds): number[] {
  return [min, (min + max) / 2, max];
}

function niceTop(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value) + 1e-9);
  return power * ([1, 1.2, 1.6, 2, 3, 4, 5, 6, 8, 10].find((step) => step * power >= value * 0.999999) ?? 10);
}

/** The latency that an SLO allows, in seconds: of "p99<50ms, errors<0.1%" it is 0.05; null for none. */
export function sloLimit(slo: string): { quantile: string; seconds: number; text: string } | null {
  const found = /\b(p50|p90|p95|p999?)\s*<=?\s*([\d.]+)\s*(us|µs|ms|s)\b/i.exec(slo);
  if (found === null) return null;
  const [, quantile = '', number = '', unit = ''] = found;
  const scale = { us: 1e-6, µs: 1e-6, ms: 1e-3, s: 1 }[unit.toLowerCase()] ?? 1;
  const seconds = Number(number) * scale;
  if (!(seconds > 0)) return null;
  return { quantile: quantile.toLowerCase(), seconds, text: `SLO ${quantile} < ${number} ${unit}` };
}
