import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setLocale } from '../src/format';
import { parseAlerts } from '../src/questions/alerts';
import { howItStands } from '../src/questions/alerts-now';

setLocale('en-US');

const MINUTE = 60_000;
const FIRED = Date.UTC(2026, 10, 27, 14, 2, 30);
const minute = (hhmm: string) => Date.UTC(2026, 10, 27, ...(hhmm.split(':').map(Number) as [number, number]));

function stands(metric: Record<string, unknown>, course: Record<string, number | null>, now: string): string {
  const [alert] = parseAlerts({ firing: [{ id: 'a', name: 'a', since: FIRED, windowSeconds: 60, ...metric }] }).firing;
  const points = new Map(Object.entries(course).map(([at, value]) => [minute(at), value] as const));
  const words = { currency: 'USD', timezone: 'UTC', unitOf: () => null };
  return howItStands(alert!, points, minute(now) + 10_000, words);
}

const errors = { metric: 'checkout_error_rate', unit: 'ratio', value: 0.31, baseline: 0.04, threshold: 0.1 };

test('a firing alert says how it stands now, and how bad it was', () => {
  const course = { '13:50': 0.9, '14:01': 0.2, '14:02': 0.31, '14:03': 0.4, '14:04': 0.02, '14:05': 0.01 };
  assert.equal(stands(errors, course, '14:05'), 'Now 2% (14:04), worst minute 40% (14:03).');
  const orders = { metric: 'purchases', unit: 'count', value: 2, baseline: 40, threshold: 12 };
  assert.equal(
    stands(orders, { '14:02': 2, '14:03': 0, '14:04': 38 }, '14:05'),
    'Now 38 (14:04), worst minute 0 (14:03).',
  );
});

test('a shop that has gone silent is not said to be well', () => {
  const silent = { '14:02': 0.31, '14:03': 0.4, '14:04': null, '14:05': null, '14:06': null };
  assert.equal(stands(errors, silent, '14:07'), 'No data since 14:04, worst minute 40% (14:03).');
  assert.equal(stands(errors, { '14:02': null, '14:03': null }, '14:04'), 'No data since 14:01.');
  assert.equal(stands(errors, {}, '14:04'), '');
  assert.equal(howItStands({ since: FIRED } as never, undefined, FIRED + MINUTE, {} as never), '');
});
