// What the panel of targets says.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setLocale } from '../src/format';
import { amountText, endInWords, paceInWords, parsePace, spanWords } from '../src/panels/pace/pace';

setLocale('en-US');

const body = {
  target: 'revenue_today',
  title: 'Revenue today',
  metric: 'revenue',
  unit: 'money',
  span: 'day',
  amount: 100_000,
  value: 31_234.5,
  should: 35_000,
  forecast: { value: 95_000, low: 88_000, high: 103_000, chance: 0.21 },
};

const of = (more: object) => parsePace([{ ...body, ...more }])[0]!;

test('a target says how far it is off, and where it will end', () => {
  const pace = of({});
  assert.equal(paceInWords(pace, 'USD'), '$3,766 behind');
  assert.equal(
    endInWords(pace, 'USD'),
    'It will end between $88,000 and $103,000; the chance to reach the target is 21%.',
  );
  assert.equal(paceInWords(of({ value: 35_900 }), 'USD'), 'on pace');
  assert.equal(paceInWords(of({ unit: 'count', value: 40_000 }), 'USD'), '5,000 ahead');
  assert.equal(endInWords(of({ value: 100_000 }), 'USD'), 'Reached. It will end at about $95,000.');
  assert.match(endInWords(of({ forecast: { ...body.forecast, chance: 0.999 } }), 'USD'), /is over 99%\.$/);
});

test('what is not known is said with its reason', () => {
  const pace = of({ should: null, forecast: null, why: 'too few days before today are known' });
  assert.equal(paceInWords(pace, 'USD'), '');
  assert.equal(endInWords(pace, 'USD'), 'Where it will end is not known: too few days before today are known.');
  assert.equal(endInWords(of({ forecast: null }), 'USD'), '');
});

test('amounts and spans are in words of people', () => {
  assert.equal(amountText(1_234.56, 'money', 'JPY'), '¥1,235');
  assert.equal(amountText(1_234.5, 'number', 'USD'), '1,234.5');
  assert.deepEqual(['day', 'black_friday_2026'].map(spanWords), ['today', 'black friday 2026']);
  assert.deepEqual(parsePace('nothing'), []);
});
