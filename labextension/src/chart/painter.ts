// Draws at most once a frame, and only what can be seen.

import type { Disposable } from '../api/transport';

export class Painter implements Disposable {
  private frame = 0;
  private wanted = false;
  private near: boolean;
  private readonly observer: IntersectionObserver | null;

  /** `paint` draws; `shown` is called when the node comes into sight again. */
  constructor(
    node: Element,
    private readonly paint: () => void,
    private readonly shown: () => void,
  ) {
    const able = typeof IntersectionObserver === 'function';
    this.near = !able;
    this.observer = able
      ? new IntersectionObserver(
          (entries) => {
            const before = this.visible;
            this.near = entries.at(-1)?.isIntersecting ?? false;
            this.turned(before);
          },
          { rootMargin: '64px' },
        )
      : null;
    this.observer?.observe(node);
    document.addEventListener('visibilitychange', this.pageTurned);
  }

  /** Whether drawing is worth its time. */
  get visible(): boolean {
    return this.near && document.visibilityState !== 'hidden';
  }

  /** Draw with the next frame, or as soon as it can be seen. */
  request(): void {
    this.wanted = true;
    if (this.frame !== 0 || !this.visible) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      if (!this.wanted || !this.visible) return;
      this.wanted = false;
      this.paint();
    });
  }

  dispose(): void {
    this.observer?.disconnect();
    document.removeEventListener('visibilitychange', this.pageTurned);
    cancelAnimationFrame(this.frame);
    this.frame = -1;
  }

  private readonly pageTurned = (): void => {
    if (!this.visible) return;
    this.shown();
    if (this.wanted) this.request();
  };

  private turned(before: boolean): void {
    if (!this.visible || before) return;
    this.shown();
    if (this.wanted) this.request();
  }
}
