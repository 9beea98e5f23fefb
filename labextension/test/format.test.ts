import { describe, expect, it } from 'vitest';
import * as format from '../src/panel/format';
import words from './fixtures/text.json';

type Pair = [number, string];

describe('the words of Python and of the page are the same', () => {
  it.each(words.seconds_text as Pair[])('%f s', (seconds, text) => {
    expect(format.durationText(seconds)).toBe(text);
  });
  it.each(words.size_text as Pair[])('%f bytes', (bytes, text) => {
    expect(format.sizeText(bytes)).toBe(text);
  });
  it.each(words.share_text as Pair[])('a share of %f', (share, text) => {
    expect(format.shareText(share)).toBe(text);
  });
  it.each(words.ago_text as Pair[])('%f s ago', (seconds, text) => {
    expect(format.ageText(seconds)).toBe(text);
  });
});

describe('what is not known is said so', () => {
  it('and is never a zero', () => {
    for (const text of [
      format.durationText,
      format.sizeText,
      format.rateText,
      format.percentText,
      format.coresText,
    ]) {
      expect(text(null)).toBe('–');
      expect(text(undefined)).toBe('–');
      expect(text(Number.NaN)).toBe('–');
    }
  });
});

describe('figures of the panel', () => {
  it('reads rates, shares and cores', () => {
    expect([0, 0.034, 0.25, 3, 9.96, 212.4, 12345.6].map(format.rateText)).toEqual([
      '0 /s',
      '0.03 /s',
      '0.2 /s',
      '3 /s',
      '10.0 /s',
      '212 /s',
      '12,346 /s',
    ]);
    expect([0, 0.0012, 0.031, 0.4, 1].map(format.percentText)).toEqual([
      '0.00 %',
      '0.12 %',
      '3.1 %',
      '40 %',
      '100 %',
    ]);
    expect([0, 0.004, 0.34, 1.8].map(format.coresText)).toEqual(['0 %', '0.4 %', '34 %', '180 %']);
    expect([60, 300, 900, 3600, 21600, 86400].map(format.windowText)).toEqual([
      '1 min',
      '5 min',
      '15 min',
      '1 h',
      '6 h',
      '24 h',
    ]);
  });
});
