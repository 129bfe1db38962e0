// Tests what "Explore" shows and asks for the address that it is opened with.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ticksAt } from '../src/pages/explore/axis';
import { dayBefore, hoursOf, intervalFor, intervalsFor, readSpan, spanParameters } from '../src/pages/explore/span';
import {
  breakdownParameters,
  parseSeries,
  parseValues,
  readExploring,
  seriesParameters,
  sumsOf,
} from '../src/pages/explore/state';
import { momentAt, wallClock } from '../src/wall_clock';
import type { Catalogue } from '../src/questions/metrics';

const NOON = Date.UTC(2026, 10, 27, 12);
const HOUR = 3_600_000;
const TODAY = '2026-11-27';

const catalogue: Catalogue = {
  metrics: [
    { name: 'purchases', unit: 'count', byDayOnly: false },
    { name: 'conversion', unit: 'ratio', byDayOnly: true },
  ],
  breakdowns: [{ type: 'error', property: 'gateway', sums: [] }],
};
const read = (text: string) => readExploring(new URLSearchParams(text), catalogue, NOON);
const span = (text: string) => readSpan(new URLSearchParams(text));

test('spans are days of the shop, hours until now, or what the address names', () => {
  assert.deepEqual(spanParameters(span('range=6h'), TODAY), { hours: '6' });
  assert.deepEqual(spanParameters(span('range=today'), TODAY), { from: TODAY });
  assert.deepEqual(spanParameters(span('range=yesterday'), TODAY), { from: '2026-11-26', to: '2026-11-26' });
  assert.deepEqual(spanParameters(span('range=7d'), TODAY), { from: '2026-11-21' });
  assert.deepEqual(spanParameters(span('from=2026-11-01&to=2026-11-02'), TODAY), {
    from: '2026-11-01',
    to: '2026-11-02',
  });
  assert.equal(span('range=constructor').range, '24h');
  assert.equal(dayBefore('2026-03-01', 1), '2026-02-28');
  assert.equal(hoursOf(span('from=2026-11-01&to=2026-11-02'), NOON), 48);
  assert.equal(hoursOf(span(`from=${NOON - 2 * HOUR}`), NOON), 2);
});

test('a span is drawn in as many bars as it is read with, and in others that fit', () => {
  const of = (hours: number, byDayOnly = false) => intervalFor(null, hours, byDayOnly).name;
  assert.deepEqual(
    [1, 6, 24, 48, 168, 2_160, 8_760].map((hours) => of(hours)),
    ['1m', '5m', '15m', '1h', '1h', '1d', '1w'],
  );
  assert.equal(of(1, true), '15m');
  assert.equal(intervalFor('1h', 168, false).name, '1h');
  assert.equal(intervalFor('1m', 168, false).name, '1h', 'one that has far too many bars is not taken');
  for (const hours of [0.1, 1, 24, 8_760, 100_000]) assert.ok(intervalsFor(hours, false).length > 0, String(hours));
});

test('the address says what is shown; where it says nothing, what sells', () => {
  assert.deepEqual(read('').of, { metric: catalogue.metrics[0] });
  assert.deepEqual(read('type=signup').of, { type: 'signup' });
  const unknown = read('metric=gone').of;
  assert.ok('metric' in unknown && unknown.metric.name === 'gone', 'the server says why there is none');
  assert.deepEqual(seriesParameters(read('metric=conversion&range=1h'), TODAY), {
    metric: 'conversion',
    interval: '15m',
    hours: '1',
  });
});

test('a breakdown is asked by minutes of the last day, and by its ends before', () => {
  assert.deepEqual(breakdownParameters(read('by=error/gateway&range=6h'), TODAY, null), {
    type: 'error',
    property: 'gateway',
    minutes: '360',
    limit: '100',
  });
  const week = breakdownParameters(read('by=error/gateway&range=7d'), TODAY, 'revenue');
  assert.deepEqual([week?.from, week?.minutes, week?.metric], ['2026-11-21', undefined, 'revenue']);
  assert.equal(breakdownParameters(read('by=none'), TODAY, null), null);
});

test('sums of two series are of the buckets that both know', () => {
  const series = parseSeries([
    { timestamp: 1, count: 4 },
    { timestamp: 2, count: null },
    { timestamp: 3, count: 6, inProgress: true },
  ]);
  assert.equal(series[2]?.inProgress, true);
  assert.deepEqual(sumsOf(series, [1, 2, null]), { all: 10, same: 4, other: 1 });
  assert.deepEqual(sumsOf(series, null), { all: 10, same: 0, other: null });
});

test('values are shares of all, also of what has no value', () => {
  const body = [
    { value: 'adyen', count: 3 },
    { value: '(none)', count: 1, none: true },
  ];
  assert.equal(parseValues(body, 10).total, 10);
  assert.equal(parseValues(body).total, 4);
  assert.ok(parseValues(body).rows[1]?.isNone);
});

test('a clock on the wall, there and back, also when it is set', () => {
  const zones = ['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kathmandu'];
  for (const zone of zones) assert.equal(momentAt(wallClock(NOON, zone), zone), NOON, zone);
  // Summer time ends: 02:30 comes twice, and the first is meant. It begins: 02:30 does not come.
  assert.equal(momentAt('2026-10-25T02:30', 'Europe/Berlin'), Date.UTC(2026, 9, 25, 0, 30));
  assert.equal(momentAt('2026-03-29T02:30', 'Europe/Berlin'), Date.UTC(2026, 2, 29, 1, 30));
  assert.equal(momentAt('', 'UTC'), null);
});

test('labels stand at round times, and no more than there is room for', () => {
  const starts = Array.from({ length: 96 }, (_, index) => NOON - (96 - index) * 900_000);
  const [from, to] = [starts[0]! / 1000, NOON / 1000];
  for (const rems of [12, 30, 80]) {
    const ticks = ticksAt(starts, from, to, rems, 'Europe/Berlin');
    assert.ok(ticks.length >= 1 && ticks.length <= rems / 4, `${rems} rem: ${ticks.length}`);
    assert.ok(ticks.every((tick) => wallClock(tick * 1000, 'Europe/Berlin').endsWith(':00')));
  }
});
