import { afterEach, describe, expect, it, vi } from 'vitest';

import type { Alert, Glance } from '../src/api/types';
import { isLookedAt, News } from '../src/sidebar/news';
import { golden } from './stand';

function withAlert(given: Partial<Alert>): Glance[] {
  const { view, health } = golden();
  const [alert] = health.alerts;
  if (alert === undefined) throw new Error('the golden file has no alert');
  return [{ ...view.glance, alerts: [{ ...alert, severity: 'critical', ...given }] }];
}

describe('news', () => {
  it('is a critical alert that was not there before, once', () => {
    const news = new News();
    expect(news.take(withAlert({ id: 'a' }), 100)).toEqual([]); // it was there when the page came
    expect(news.take(withAlert({ id: 'b' }), 100).map((alert) => alert.id)).toEqual(['b']);
    expect(news.take(withAlert({ id: 'b', times: 3 }), 100)).toEqual([]);
    expect(news.take([], 100)).toEqual([]);
    expect(news.take(withAlert({ id: 'b' }), 100)).toEqual([]); // it came back
  });

  it('is no warning, no drill, and nothing that is silenced', () => {
    for (const given of [{ severity: 'warning' }, { drill: true }, { silenced_until_s: 200 }] as const) {
      const news = new News();
      news.take([], 100);
      expect(news.take(withAlert({ id: 'x', ...given }), 100)).toEqual([]);
    }
    const news = new News();
    news.take([], 100);
    news.take(withAlert({ id: 'x', severity: 'warning' }), 100);
    expect(news.take(withAlert({ id: 'x' }), 100)).toHaveLength(1); // it got worse
  });
});

describe('a panel is looked at', () => {
  afterEach(() => {
    vi.restoreAllMocks();
    document.body.replaceChildren();
  });

  it('where the page has the focus and it is in sight', () => {
    const node = document.createElement('div');
    node.className = 'adm-panel';
    node.dataset['deployment'] = 'iris';
    document.body.append(node);
    const focus = vi.spyOn(document, 'hasFocus').mockReturnValue(true);
    expect(isLookedAt('iris')).toBe(false); // jsdom lays nothing out: it is not in sight
    vi.spyOn(node, 'getClientRects').mockReturnValue([{}] as unknown as DOMRectList);
    expect(isLookedAt('iris')).toBe(true);
    expect(isLookedAt('churn')).toBe(false);
    focus.mockReturnValue(false);
    expect(isLookedAt('iris')).toBe(false);
  });
});
