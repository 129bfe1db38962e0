import assert from 'node:assert/strict';
import { test } from 'node:test';
import { quarterHours, roundTop } from '../src/charts/scale';
import { sparkPath } from '../src/charts/Sparkline';
import * as format from '../src/format';
import { backoffMs } from '../src/stream/backoff';
import { ServerClock } from '../src/stream/clock';

format.setLocale('en-US');

test('money: exact digits', () => {
  assert.equal(format.moneyDigits(599_700), '59.97');
  assert.equal(format.moneyDigits(0), '0');
  assert.equal(format.moneyDigits(-5), '-0.0005');
  assert.equal(format.moneyDigits(8_999_999_999_999_999), '899999999999.9999');
  assert.equal(format.money(1_284_123_500, 'USD'), '$128,412.35');
  assert.equal(format.money(12_345, 'USD'), '$1.2345');
  assert.equal(format.money(10_000_000, 'JPY'), '¥1,000');
  assert.equal(format.money(5_000, 'not a currency'), '0.50');
});

test('money: in parts, whole and compact', () => {
  assert.deepEqual(format.moneyParts(1_284_123_500, 'USD'), { main: '$128,412', cents: '.35', tail: '' });
  assert.equal(format.moneyWhole(123_450_000, 'USD'), '$12,345');
  assert.equal(format.moneyCompact(1_600, 'USD'), '$1.6K');
  assert.equal(format.moneyCompact(0.5, 'USD'), '$0.50');
  assert.equal(format.moneyCompact(2, 'USD'), '$2');
});

test('counts, percent, ages, windows', () => {
  assert.equal(format.count(1840), '1,840');
  assert.equal(format.percent(0.0042), '0.42%');
  assert.equal(format.age(12_900), '12 s');
  assert.equal(format.age(-50), '0 s');
  assert.equal(format.age(185_000), '3 min');
  assert.equal(format.age(7_300_000), '2 h');
  assert.equal(format.lastWindow(300), 'last 5 minutes');
  assert.equal(format.lastWindow(90), 'last 90 seconds');
});

test('times are of the business time zone, and an unknown zone is UTC', () => {
  const noon = Date.UTC(2026, 10, 27, 12, 0, 7);
  assert.equal(format.clockSecond(noon, 'America/New_York'), '07:00:07');
  assert.equal(format.clockMinute(noon, 'Mars/Olympus'), '12:00');
  assert.equal(format.dayInWords('2026-11-27'), 'Friday, November 27, 2026');
  assert.equal(format.dayInWords('soon'), 'soon');
});

test('the top of a scale is round, above the peak, and halves well', () => {
  assert.equal(roundTop(0, 4), 4);
  assert.equal(roundTop(922.28, 2), 1_000);
  assert.equal(roundTop(21_405, 4), 30_000);
  for (let peak = 1; peak < 5_000; peak += 7) {
    const top = roundTop(peak, 4);
    assert.ok(top > peak && top <= peak * 2.2 + 4, `${peak} under ${top}`);
    assert.ok(Number.isInteger(top / 2), `half of ${top}`);
  }
});

test('ticks at full quarters of an hour', () => {
  assert.deepEqual(quarterHours(100, 3_000), [900, 1_800, 2_700]);
});

test('a sparkline is empty when quiet, and a level that hardly moves is flat', () => {
  assert.equal(sparkPath([0, 0, 0], 3, 'zero'), '');
  assert.equal(sparkPath([5], 60, 'low'), '');
  assert.equal(sparkPath([100, 100], 2, 'low'), 'M0.0 16.0L120.0 16.0');
});

test('backoff: doubling, limited, half of it chance', () => {
  assert.equal(backoffMs(1, 0), 125);
  assert.equal(backoffMs(2, 0), 250);
  assert.equal(backoffMs(1_000, 0), 2_500);
  assert.ok(backoffMs(1_000, 0.999) <= 5_000);
});

test('the server clock follows a jump at once and jitter slowly', () => {
  let local = 1_000_000;
  const clock = new ServerClock(() => local);
  assert.equal(clock.now(), local);
  clock.observe(local + 7 * 3_600_000);
  assert.equal(clock.now(), local + 7 * 3_600_000);
  clock.observe(local + 7 * 3_600_000 - 100);
  assert.equal(clock.now(), local + 7 * 3_600_000 - 10);
  local -= 3_600_000; // the local clock is set back
  clock.observe(1_000_000 + 7 * 3_600_000);
  assert.equal(clock.now(), 1_000_000 + 7 * 3_600_000);
});
