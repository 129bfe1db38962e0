import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setLocale } from '../src/format';
import { sinceWhen, spoken, titleWarning, whatExplains, whatHappened, whenItWas } from '../src/questions/alert-words';
import { NO_ALERTS, parseAlerts, type Alert } from '../src/questions/alerts';

setLocale('en-US');

const SINCE = Date.UTC(2026, 10, 27, 14, 2, 10);

/** An alert as the server sends it. */
const checkout = {
  id: 'a1',
  name: 'checkout_errors',
  title: 'Checkout errors',
  severity: 'critical',
  metric: 'checkout_error_rate',
  unit: 'ratio',
  since: SINCE,
  windowSeconds: 60,
  value: 0.3123,
  threshold: 0.08,
  baseline: 0.04,
  against: 'last_hour',
  volume: 412,
  explains: [{ property: 'gateway', value: 'adyen', share: 0.94, event: 'error' }],
  summary: 'checkout_error_rate is 31.2 % over 1 min.',
};

function firing(...entries: object[]): Alert[] {
  return [...parseAlerts({ firing: entries, history: [] }).firing];
}

const one = (entry: object): Alert => firing(entry)[0]!;

test('an alert is told in the words of a shop', () => {
  const alert = one(checkout);
  assert.equal(whatHappened(alert, 'USD'), '31% of orders failed within a minute, usually 4%.');
  assert.equal(whatExplains(alert), 'gateway=adyen: 94% of the new errors.');
  assert.equal(sinceWhen(alert, SINCE + 185_000, 'UTC'), 'Since 14:02, 3 min');
});

test('every unit has its way of being told, and a fall is told as what is missing', () => {
  const stall = { ...checkout, metric: 'purchases', unit: 'count', value: 3, baseline: 41.4, windowSeconds: 480 };
  const explains = [{ property: 'country', value: 'DE', share: 0.5, event: 'purchase' }];
  assert.equal(whatHappened(one(stall), 'USD'), '3 orders within 8 minutes, usually 41.');
  assert.equal(whatExplains(one({ ...stall, explains })), 'country=DE: 50% of the missing orders.');
  const revenue = { ...checkout, metric: 'revenue', unit: 'money', value: 12.5, baseline: 1_000, windowSeconds: 30 };
  assert.equal(whatHappened(one(revenue), 'EUR'), '€12.50 of revenue within 30 seconds, usually €1,000.00.');
  const own = { ...checkout, metric: 'basket_size', unit: 'number', value: 1.5, baseline: null, threshold: 2 };
  assert.equal(whatHappened(one(own), 'USD'), 'Basket size: 1.5 within a minute, limit 2.');
});

test('an alert on money is told without its numbers where these are hidden', () => {
  const hidden = ['title', 'value', 'threshold', 'baseline', 'volume', 'explains', 'summary'];
  const alert = one({
    ...checkout,
    name: 'low_takings',
    title: 'low_takings',
    metric: 'net_revenue',
    value: 0,
    hidden,
  });
  assert.equal(alert.title, 'Low takings');
  assert.equal(whatHappened(alert, 'USD'), 'Net revenue: hidden.');
  const causes = one({ ...checkout, hidden: ['explains', 'summary'] });
  assert.equal(causes.title, 'Checkout errors');
  assert.equal(whatHappened(causes, 'USD'), '31% of orders failed within a minute, usually 4%.');
});

test('the shape of the contract alone is enough', () => {
  const explains = [{ property: 'gateway', value: 'adyen', share: 0.94 }];
  const alert = one({
    name: 'checkout_errors',
    severity: 'critical',
    since: SINCE,
    value: 0.3,
    threshold: 0.1,
    explains,
  });
  assert.equal(alert.title, 'Checkout errors');
  assert.equal(whatHappened(alert, 'USD'), 'Checkout errors: 0.3, limit 0.1.');
  assert.equal(whatExplains(alert), 'gateway=adyen: 94% of the change.');
});

test('a unit that the alert does not name comes from the metric', () => {
  const { unit: _, ...without } = checkout;
  assert.match(
    whatHappened(one(without), 'USD', () => 'ratio'),
    /^31% of orders failed/,
  );
});

test('the most severe stands first, then the one that fires longest; unknown severities are not hidden', () => {
  const order = firing(
    { ...checkout, name: 'note', severity: 'info', since: SINCE - 9 },
    { ...checkout, name: 'late', since: SINCE + 1 },
    { ...checkout, name: 'odd', severity: 'apocalypse' },
    { ...checkout, name: 'early' },
  ).map(({ name }) => name);
  assert.deepEqual(order, ['early', 'late', 'odd', 'note']);
});

test('the title warns of what is serious only', () => {
  const info = { ...checkout, id: 'a2', title: 'Traffic surge', severity: 'info' };
  const title = (...entries: object[]) => titleWarning(parseAlerts({ firing: entries, history: [] }));
  assert.equal(title(), '');
  assert.equal(title(info), '');
  assert.equal(title(info, checkout), '⚠ Checkout errors');
  assert.equal(title(checkout, { ...checkout, id: 'a3' }), '⚠ Checkout errors + 1 more');
});

test('what a screen reader hears changes only when an alert does', () => {
  const alerts = parseAlerts({ firing: [checkout], history: [] });
  assert.equal(
    spoken(alerts, 'USD'),
    'Checkout errors: 31% of orders failed within a minute, usually 4%. gateway=adyen: 94% of the new errors.',
  );
  assert.equal(spoken(NO_ALERTS, 'USD'), '');
});

test('history: the last first, with how long each took', () => {
  const past = Array.from({ length: 30 }, (_, index) => ({
    ...checkout,
    id: `h${index}`,
    since: SINCE + index * 60_000,
    clearedAt: SINCE + index * 60_000 + 725_000,
  }));
  const { history } = parseAlerts({ firing: [], history: past });
  assert.equal(history.length, 30);
  assert.equal(history[0]?.id, 'h29');
  assert.equal(whenItWas(history[0]!, SINCE, 'UTC'), '14:31, for 12 min');
  assert.equal(whenItWas({ ...history[0]!, clearedAt: null }, SINCE, 'UTC'), '14:31');
  assert.equal(
    whenItWas({ ...history[0]!, clearedAt: history[0]!.since + 6_000_000 }, SINCE, 'UTC'),
    '14:31, for 1 h 40 min',
  );
  const silent = { ...history[0]!, breachedUntil: history[0]!.since + 40_000 };
  assert.equal(whenItWas(silent, SINCE, 'UTC'), '14:31, for 40 s, known to be over at 14:43');
  const nextDay = SINCE + 86_400_000;
  assert.equal(whenItWas(history[0]!, nextDay, 'UTC'), 'Nov 27, 14:31, for 12 min');
});

test('what is no list of alerts is no alert', () => {
  for (const body of [null, [], 'x', {}, { firing: 3 }, { firing: [null, 1] }]) {
    assert.deepEqual(parseAlerts(body), NO_ALERTS);
  }
});
