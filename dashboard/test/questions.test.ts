import assert from 'node:assert/strict';
import { test } from 'node:test';
import { changeText, percentShort, setLocale } from '../src/format';
import type { View } from '../src/live';
import { linkWords } from '../src/components/words';
import {
  choicesAt,
  parseOccasions,
  parsePoints,
  pointsAt,
  revenueThen,
  unanswered,
  wordsOf,
} from '../src/questions/baseline';
import {
  breakdownTitle,
  compare,
  grouped,
  parseBreakdowns,
  passedShare,
  valueInWords,
} from '../src/questions/breakdowns';
import { frontPage } from '../src/panels';
import { furtherMetrics } from '../src/panels/More';
import { leftOutText, nameInWords, parseCatalogue, parseTodaysMetrics, valueText } from '../src/questions/metrics';
import { parseFrame } from '../src/stream/frames';
import { applyFrame } from '../src/stream/state';

setLocale('en-US');

const NOON = Date.UTC(2026, 10, 27, 12, 0, 0);
/** The last millisecond of a minute, at which nearly all of the 15 minutes have passed. */
const FULL = NOON - 1;
const byGateway = { type: 'error', property: 'gateway' };
const counts = (values: Record<string, number>, before: Record<string, number> = {}) =>
  Object.entries(values).map(([value, count]) => ({ value, count, before: before[value] ?? 0 }));

test('a breakdown: shares of all, lengths of the largest, the rest counted', () => {
  const recent = counts({ a: 60, b: 20, c: 10, d: 5, e: 3, f: 1, g: 1 });
  const { bars } = compare(byGateway, recent, FULL);
  assert.deepEqual(
    bars.map(({ value, share }) => [value, share]),
    [
      ['a', 0.6],
      ['b', 0.2],
      ['c', 0.1],
      ['d', 0.05],
      ['e', 0.03],
      ['f', 0.01],
      ['g', 0.01],
    ],
  );
  assert.equal(bars[1]?.length, 20 / 60);
  assert.ok(
    bars.every(({ change }) => change === null),
    'nothing to compare with',
  );
});

test('a value that can not be seen has a name', () => {
  const shown = ['', ' \t', '\u200b', '\u202e', '0', '\u202eadyen'].map(valueInWords);
  assert.deepEqual(
    shown.map(({ text, isNamed }) => [text, isNamed]),
    [
      ['(empty)', false],
      ['(blank)', false],
      ['(blank)', false],
      ['(blank)', false],
      ['0', true],
      ['\u202eadyen', true],
    ],
  );
});

test('the change is against the 15 minutes before', () => {
  const recent = counts({ adyen: 90, stripe: 50, klarna: 40, paypal: 4 }, { adyen: 30, stripe: 100, paypal: 2 });
  const changes = compare(byGateway, recent, FULL).bars.map(({ change }) =>
    typeof change === 'number' ? Math.round(change * 100) / 100 : change,
  );
  assert.deepEqual(changes, [2, -0.5, 'new', null], 'the last are too few to say');
});

test('at the start of a minute, 14 minutes are not compared with 15', () => {
  assert.equal(passedShare(NOON), 14 / 15);
  const [bar] = compare(byGateway, counts({ a: 140 }, { a: 150 }), NOON).bars;
  assert.ok(Math.abs(bar!.change as number) < 1e-9, 'the same rate is no change');
});

test('a server without a past calls nothing new', () => {
  const [bar] = compare(byGateway, counts({ a: 500 }), FULL).bars;
  assert.equal(bar?.change, null);
});

test('breakdowns are grouped: what breaks, what sells, what is read, then the rest', () => {
  const empty = (type: string, property: string) => compare({ type, property }, [], NOON);
  const groups = grouped([empty('page_view', 'path'), empty('search_done', 'term'), empty('error', 'code')]);
  assert.deepEqual(
    groups.map(({ title }) => title),
    ['What breaks', 'What is read', 'Search done'],
  );
  assert.equal(breakdownTitle(byGateway), 'Errors by gateway');
  assert.deepEqual(parseBreakdowns({ error: 1 }, NOON), []);
});

test('the catalogue and what of it is shown under More', () => {
  const catalogue = parseCatalogue({
    metrics: [
      { name: 'revenue', unit: 'money', byDayOnly: false },
      { name: 'paypal_share', unit: 'ratio' },
      { name: 'basket_size', unit: 'furlong', byDayOnly: true },
      { unit: 'count' },
    ],
    breakdowns: [{ type: 'error', property: 'code', sums: ['revenue'] }, { type: 'error' }],
  });
  assert.deepEqual(furtherMetrics(catalogue, frontPage), [
    { name: 'paypal_share', unit: 'ratio', byDayOnly: false },
    { name: 'basket_size', unit: 'number', byDayOnly: true },
  ]);
  assert.deepEqual(catalogue.breakdowns, [{ type: 'error', property: 'code', sums: ['revenue'] }]);
  assert.deepEqual(parseCatalogue('no'), { metrics: [], breakdowns: [] });
  assert.equal(nameInWords('paypal_share'), 'Paypal share');
});

test('values of every unit, and of none', () => {
  assert.deepEqual(parseTodaysMetrics({ metrics: { a: 1.5, b: null, c: 'x' }, leftOut: { a: 1_200 } }), {
    values: { a: 1.5, b: null, c: null },
    leftOut: { a: 1_200 },
  });
  assert.deepEqual(parseTodaysMetrics({}), { values: {}, leftOut: {} });
  assert.equal(leftOutText(1_200), ', 1,200 left out');
  assert.equal(leftOutText(undefined), '');
  assert.equal(valueText(1_840, 'count', 'USD'), '1,840');
  assert.equal(valueText(19.99, 'money', 'EUR'), '€19.99');
  assert.equal(valueText(0.0523, 'ratio', 'USD'), '5.23%');
  assert.equal(valueText(1.25, 'number', 'USD'), '1.25');
});

test('a baseline is known where it is a number, also where that is 0', () => {
  const points = parsePoints([
    { timestamp: 60_000, count: 0 },
    { timestamp: 120_000, count: null },
  ]);
  assert.deepEqual(pointsAt(points, [60_000, 120_000, 180_000]), [0, null, null]);
  assert.deepEqual(pointsAt(null, [60_000]), [null]);
});

test('occasions that are over can be compared with, the latest first, and a name that is gone stays readable', () => {
  const occasion = (name: string, end: number, title?: string) => ({ name, title, start: end - 1_000, end });
  const all = parseOccasions([
    occasion('a_2022', 2_000),
    occasion('a_2025', 5_000, 'A 2025'),
    occasion('a_2026', 9_000),
    occasion('a_2023', 3_000),
    occasion('a_2024', 4_000),
    {},
  ]);
  const choices = choicesAt(all, 8_000);
  assert.deepEqual(
    choices.map(({ name }) => name),
    ['yesterday', 'last_week', 'a_2025', 'a_2024', 'a_2023'],
  );
  assert.equal(wordsOf('a_2025', choices), 'A 2025');
  assert.equal(wordsOf('last_week', choices), 'last week');
  assert.equal(wordsOf('black_friday_2020', choices), 'black friday 2020');
});

test('the revenue of the other day is that of its last bucket, where it is known', () => {
  const of = (count: number | null) => ({
    ...unanswered('yesterday'),
    points: { ...unanswered('yesterday').points, revenueToday: parsePoints([{ timestamp: 1, count }]) },
  });
  assert.equal(revenueThen(of(12.5)), 12.5);
  assert.equal(revenueThen(of(0)), 0);
  assert.equal(revenueThen(of(null)), null);
  assert.equal(revenueThen(unanswered('yesterday')), null);
});

test('changes and shares are short', () => {
  assert.equal(changeText(0.31), '+31%');
  assert.equal(changeText(-0.5), '-50%');
  assert.equal(changeText(11), '×12');
  assert.equal(percentShort(0.312), '31%');
  assert.equal(percentShort(0.0042), '0.4%');
});

test('numbers that lag are said to, from the first snapshot on', () => {
  const words = (behind: object) => {
    const text = { type: 'snapshot', seq: 1, epoch: 'e', timestamp: NOON, snapshot: {}, ...behind };
    const state = applyFrame(null, parseFrame(JSON.stringify(text))!);
    const view = { link: { kind: 'live' }, state, asOf: NOON, ageMs: 0, localNow: NOON } as Partial<View> as View;
    const { detail, isBehind } = linkWords(view);
    return [detail, isBehind];
  };
  assert.deepEqual(words({}), ['', false]);
  assert.deepEqual(words({ behindMs: 1_200 }), ['', false]);
  assert.deepEqual(words({ behindMs: 12_400 }), ['numbers are 12 s old', true]);
  assert.deepEqual(words({ snapshot: { behindMs: 90_000 } }), ['numbers are 1 min old', true]);
});
