// A sparkline: one line of the last minutes, its gaps left open.

const SVG = 'http://www.w3.org/2000/svg';
const WIDTH = 200;
const HEIGHT = 26;

export class Spark {
  readonly node: SVGSVGElement;
  private readonly line: SVGPathElement;
  private drawn = '';

  constructor() {
    this.node = document.createElementNS(SVG, 'svg');
    this.node.setAttribute('class', 'adm-spark');
    this.node.setAttribute('viewBox', `0 0 ${WIDTH} ${HEIGHT}`);
    this.node.setAttribute('preserveAspectRatio', 'none');
    this.node.setAttribute('aria-hidden', 'true'); // the figures beside it say what it shows
    this.line = document.createElementNS(SVG, 'path');
    this.line.setAttribute('vector-effect', 'non-scaling-stroke');
    this.node.append(this.line);
  }

  /** Draw these values, oldest first, from zero up to the greatest; null is a gap. */
  update(values: readonly (number | null)[]): void {
    const path = sparkPath(values, WIDTH, HEIGHT);
    if (path === this.drawn) return;
    this.drawn = path;
    this.line.setAttribute('d', path);
  }
}

/** The path of a sparkline; a value between two gaps is a short stroke. */
export function sparkPath(values: readonly (number | null)[], width: number, height: number): string {
  let top = 0;
  for (const value of values) if (value !== null && value > top) top = value;
  const step = width / Math.max(1, values.length - 1);
  const y = (value: number): string =>
    (height - 1 - (top > 0 ? value / (top * 1.15) : 0) * (height - 2)).toFixed(1);
  let path = '';
  let open = false;
  values.forEach((value, i) => {
    if (value === null) {
      open = false;
      return;
    }
    const x = i * step;
    path += `${open ? 'L' : 'M'}${x.toFixed(1)} ${y(value)}`;
    if (!open && (values[i + 1] ?? null) === null)
      path += `L${Math.min(width, x + step / 2).toFixed(1)} ${y(value)}`;
    open = true;
  });
  return path;
}
