// What a chart shows besides its lines: outages below them, the SLO and what happened above.

import type uPlot from 'uplot';
import { placeLabels, type Mark } from './marks';
import type { Outage } from './outage';
import type { Colours } from './palette';

type Named = Outage & { label: string };

/** Hatch the times that were not measured. */
export function drawOutages(plot: uPlot, outages: readonly Named[], colours: Colours): void {
  const { ctx, bbox } = plot;
  const ratio = devicePixelRatio;
  for (const outage of outages) {
    const [left, width] = extent(plot, outage);
    if (width <= 0) continue;
    const colour = outage.what === 'down' ? colours.bad : colours.mut;
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, bbox.top, width, bbox.height);
    ctx.clip();
    ctx.globalAlpha = 0.07;
    ctx.fillStyle = colour;
    ctx.fillRect(left, bbox.top, width, bbox.height);
    ctx.globalAlpha = 0.35;
    ctx.strokeStyle = colour;
    ctx.lineWidth = ratio;
    ctx.beginPath();
    const step = 7 * ratio;
    for (let x = left - bbox.height - (left % step); x < left + width; x += step) {
      ctx.moveTo(x, bbox.top + bbox.height);
      ctx.lineTo(x + bbox.height, bbox.top);
    }
    ctx.stroke();
    ctx.restore();
  }
}

/** Say what they were, where there is room. */
export function nameOutages(plot: uPlot, outages: readonly Named[], colours: Colours): void {
  const { ctx, bbox } = plot;
  const ratio = devicePixelRatio;
  ctx.save();
  ctx.font = `${10 * ratio}px system-ui, sans-serif`;
  ctx.textAlign = 'center';
  ctx.textBaseline = 'middle';
  for (const outage of outages) {
    const [left, width] = extent(plot, outage);
    if (width < ctx.measureText(outage.label).width + 4 * ratio) continue;
    ctx.fillStyle = outage.what === 'down' ? colours.bad : colours.mut;
    halo(ctx, outage.label, left + width / 2, bbox.top + bbox.height / 2, colours.bg, ratio);
  }
  ctx.restore();
}

/** Where a time is on the canvas: its left, and its width; 0 where it is out of sight. */
function extent(plot: uPlot, { from, to }: Outage): [number, number] {
  const { bbox } = plot;
  const left = Math.max(bbox.left, plot.valToPos(from, 'x', true));
  const right = Math.min(bbox.left + bbox.width, plot.valToPos(to, 'x', true));
  if (right < bbox.left || left > bbox.left + bbox.width) return [left, 0];
  return [left, Math.max(right - left, devicePixelRatio)];
}

export function drawLimit(plot: uPlot, limit: { seconds: number; text: string }, colours: Colours): void {
  const { ctx, bbox } = plot;
  const ratio = devicePixelRatio;
  const { min = 0, max = 0 } = plot.scales.y ?? {};
  const above = limit.seconds > max;
  const within = limit.seconds >= min && !above;
  const y = within ? Math.round(plot.valToPos(limit.seconds, 'y', true)) : bbox.top;
  ctx.save();
  if (within) {
    ctx.strokeStyle = colours.warn;
    ctx.lineWidth = ratio;
    ctx.setLineDash([4 * ratio, 4 * ratio]);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
  }
  ctx.font = `${10 * ratio}px system-ui, sans-serif`;
  ctx.fillStyle = colours.warn;
  ctx.textAlign = 'left';
  const below = within && y - bbox.top < 14 * ratio;
  ctx.textBaseline = below || !within ? 'top' : 'bottom';
  const text = within ? limit.text : `${limit.text} ${above ? '↑' : '↓'}`;
  const outside = above ? y + 2 * ratio : y + bbox.height - 12 * ratio;
  const at = within ? y + (below ? 3 : -3) * ratio : outside;
  halo(ctx, text, bbox.left + 4 * ratio, at, colours.bg, ratio);
  ctx.restore();
}

export function drawMarks(plot: uPlot, marks: readonly Mark[], colours: Colours, labelled: boolean): void {
  if (marks.length === 0) return;
  const { ctx, bbox } = plot;
  const ratio = devicePixelRatio;
  ctx.save();
  ctx.font = `${10 * ratio}px system-ui, sans-serif`;
  ctx.textBaseline = 'middle';
  ctx.lineWidth = ratio;
  const row = bbox.top - 8 * ratio;
  const places = marks.map((mark) => ({
    x: Math.round(plot.valToPos(mark.at, 'x', true)),
    width: labelled ? ctx.measureText(mark.label).width + 8 * ratio : 0,
  }));
  const sides = labelled ? placeLabels(places, bbox.left + bbox.width, 4 * ratio) : [];
  marks.forEach((mark, i) => {
    const x = places[i]?.x ?? 0;
    const colour = markColour(mark, colours);
    ctx.strokeStyle = ctx.fillStyle = colour;
    ctx.setLineDash([2 * ratio, 3 * ratio]);
    ctx.globalAlpha = labelled ? 1 : 0.6;
    ctx.beginPath();
    ctx.moveTo(x, labelled ? row : bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.globalAlpha = 1;
    if (!labelled) return;
    sign(ctx, mark, x, row, 3.5 * ratio);
    const side = sides[i] ?? 'none';
    if (side === 'none') return;
    ctx.fillStyle = colours.mut;
    ctx.textAlign = side === 'right' ? 'left' : 'right';
    halo(ctx, mark.label, x + (side === 'right' ? 6 : -6) * ratio, row, colours.bg, ratio);
  });
  ctx.restore();
}

/** A circle for what is told, a triangle for what wants an eye, a square for what is critical. */
function sign(ctx: CanvasRenderingContext2D, mark: Mark, x: number, y: number, size: number): void {
  ctx.beginPath();
  if (mark.severity === 'info') ctx.arc(x, y, size, 0, 2 * Math.PI);
  else if (mark.severity === 'critical') ctx.rect(x - size, y - size, 2 * size, 2 * size);
  else {
    ctx.moveTo(x, y - size);
    ctx.lineTo(x + size * 1.15, y + size);
    ctx.lineTo(x - size * 1.15, y + size);
  }
  ctx.fill();
}

function markColour(mark: Mark, colours: Colours): string {
  return { info: colours.acc, warning: colours.warn, critical: colours.bad }[mark.severity];
}

/** Text that can be read over lines. */
function halo(
  ctx: CanvasRenderingContext2D,
  text: string,
  x: number,
  y: number,
  ground: string,
  ratio: number,
): void {
  ctx.save();
  ctx.strokeStyle = ground;
  ctx.lineWidth = 3 * ratio;
  ctx.lineJoin = 'round';
  ctx.strokeText(text, x, y);
  ctx.restore();
  ctx.fillText(text, x, y);
}
