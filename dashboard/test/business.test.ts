import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Poller, countsBefore, type Asking } from '../src/business/poll';
import { toAlerts, toCatalogue, toMetricValues, toPoints } from '../src/business/shapes';
import { alertInWords, metricText, nameInWords, windowInWords } from '../src/business/words';
import { change } from '../src/components/Breakdowns';
import { setLocale } from '../src/format';

setLocale('en-US');

const MINUTE = 60_000;
/** 2026-11-27T14:02:00Z */
const SINCE = 1_795_788_120_000;

const firing = {
  name: 'checkout_errors',
  title: 'Checkout errors',
  severity: 'critical',
  metric: 'checkout_error_rate',
  unit: 'ratio',
  windowSeconds: 60,
  since: SINCE,
  value: 0.3124,
  threshold: 0.08,
  baseline: 0.04,
  explains: [{ property: 'gateway', value: 'adyen', share: 0.94 }],
};

test('an alert is told in the words of a shop', () => {
  const alert = toAlerts({ firing: [firing], history: [] }).firing[0]!;
  assert.deepEqual(alertInWords(alert, 'USD', 'UTC', SINCE + 3 * MINUTE), {
    title: 'Checkout errors',
    what: '31.24% in the last minute, usually 4.00%',
    why: 'gateway adyen: 94% of what is new',
    since: 'since 14:02, 3 min',
  });
  const over = toAlerts({ history: [{ ...firing, baseline: null, clearedAt: SINCE + 9 * MINUTE }] }).history[0]!;
  const words = alertInWords(over, 'USD', 'UTC', SINCE + 99 * MINUTE);
  assert.equal(words.what, '31.24% in the last minute, the limit is 8.00%');
  assert.equal(words.since, '14:02 to 14:11');
});

test('the most severe alert comes first, then the longest', () => {
  const { firing: sorted } = toAlerts({
    firing: [
      { name: 'a', severity: 'info', since: 1 },
      { name: 'b', severity: 'critical', since: 3 },
      { name: 'c', severity: 'critical', since: 2 },
      { name: 'd', severity: 'unheard of', since: 0 },
    ],
  });
  assert.deepEqual(
    sorted.map(({ name }) => name),
    ['c', 'b', 'd', 'a'],
  );
});

test('answers of another shape are no reason to fail', () => {
  for (const json of [null, [], 'x', {}, { firing: 7, metrics: [1, null], breakdowns: {} }]) {
    assert.deepEqual(toAlerts(json).firing, []);
    assert.deepEqual(toCatalogue(json), { metrics: [], breakdowns: [] });
    assert.deepEqual(toPoints(json), new Map());
  }
  assert.deepEqual(toMetricValues({ metrics: { a: 1, b: null, c: 'x' } }), { a: 1, b: null, c: null });
  assert.deepEqual(toPoints([{ timestamp: 1, count: 2 }, { timestamp: 2, count: null }]), new Map([[1, 2]]));
});

test('values and windows have their units', () => {
  assert.equal(metricText(94.5509, 'money', 'USD'), '$94.55');
  assert.equal(metricText(0.0621, 'ratio', 'USD'), '6.21%');
  assert.equal(metricText(1840, 'count', 'USD'), '1,840');
  assert.equal(metricText(null, 'count', 'USD'), '–');
  assert.equal(nameInWords('average_order_value'), 'Average order value');
  assert.equal(windowInWords(300), 'in the last 5 minutes');
  assert.equal(windowInWords(0), '');
});

test('a breakdown is compared with the window before it', () => {
  const before = countsBefore([{ value: 'a', count: 5 }], [{ value: 'a', count: 8 }, { value: 'b', count: 2 }]);
  assert.deepEqual([...before], [['a', 3], ['b', 2]]);
  assert.equal(change(5, before.get('a')), '+2');
  assert.equal(change(2, 5), '−3');
  assert.equal(change(5, undefined), 'new');
});

test('a question that fails leaves the last answer, and a hidden page asks for alerts alone', async () => {
  const runs: (() => void)[] = [];
  const asked: string[] = [];
  let visible = true;
  let fails = false;
  const world: Asking = {
    async get(path) {
      asked.push(path);
      if (fails) throw new Error('503');
      return path.endsWith('/current') ? { metrics: { purchases: 3 } } : {};
    },
    isVisible: () => visible,
    every: (_ms, run) => void runs.push(run),
  };
  const poller = new Poller(world, () => undefined);
  poller.start(null);
  const round = async () => {
    asked.length = 0;
    runs.forEach((run) => run());
    await new Promise((done) => setTimeout(done));
    return asked;
  };
  await round();
  assert.equal(poller.business.metrics.purchases, 3);
  fails = true;
  await round();
  assert.equal(poller.business.metrics.purchases, 3);
  visible = false;
  assert.deepEqual(await round(), ['/api/analytics/alerts']);
});
