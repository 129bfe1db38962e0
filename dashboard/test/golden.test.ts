// Tests what the page reads from every route and frame, with the files in tests/golden/ of the
// repository. A test of the server (tests/server/golden.rs) compares the server's answers with the same
// files, so neither side can change a shape alone.
//
// The values in the files differ from those that the page uses if a key is missing, and the totals of
// the snapshot differ from the sums of its counts. So a key that the page no longer finds changes the
// result.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import alertsBody from '../../tests/golden/alerts.json';
import breakdownsBody from '../../tests/golden/breakdowns.json';
import currentBody from '../../tests/golden/current.json';
import deltaBody from '../../tests/golden/delta.json';
import metricsBody from '../../tests/golden/metrics.json';
import snapshotBody from '../../tests/golden/snapshot.json';
import timeseriesBody from '../../tests/golden/timeseries.json';
import { parseAlerts, parseFiring, type Alert } from '../src/questions/alerts';
import { parsePoints } from '../src/questions/baseline';
import { parseBreakdowns } from '../src/questions/breakdowns';
import { parseCatalogue, parseTodaysMetrics } from '../src/questions/metrics';
import { parseFrame, type Frame } from '../src/stream/frames';

const NOON = Date.UTC(2026, 10, 27, 12, 0, 0);

const explains = [{ property: 'gateway', value: 'adyen', share: 0.94, event: 'error' }];

const manyErrors: Alert = {
  id: '01a21413-e9e1-77aa-acd9-ece7ddc9b56e',
  name: 'many_errors',
  title: 'Too many errors',
  severity: 'critical',
  metric: 'errors',
  unit: 'count',
  since: NOON + 2_000,
  clearedAt: null,
  breachedUntil: null,
  windowSeconds: 600,
  value: 8,
  threshold: 3,
  baseline: null,
  explains,
  causes: [],
  isHidden: false,
};

const burst: Alert = {
  ...manyErrors,
  id: '01a21413-e9e1-77aa-acd9-ece851a4aeab',
  name: 'burst_of_errors',
  title: 'Errors come in a burst',
  severity: 'warning',
  since: NOON + 1_000,
  windowSeconds: 60,
  baseline: 0.5,
};

const earlierBurst: Alert = {
  ...burst,
  id: '01a21413-0000-77aa-acd9-ece851a4aeab',
  severity: 'info',
  since: NOON - 3_600_000,
  clearedAt: NOON - 3_600_000 + 725_000,
  breachedUntil: NOON - 3_600_000 + 700_000,
  windowSeconds: 10,
  baseline: null,
};

const frameOf = (body: object): Frame => parseFrame(JSON.stringify(body))!;

test('GET /api/analytics/current', () => {
  assert.deepEqual(parseTodaysMetrics(currentBody), {
    values: {
      events: 11,
      page_views: 2,
      sessions: 2,
      purchases: 1,
      revenue: 19.99,
      refunds: 0,
      net_revenue: 19.99,
      orders_booked: 0,
      orders_tracked: 1,
      average_order_value: 19.99,
      conversion: 0.5,
      errors: 8,
      error_rate: 8 / 11,
      checkout_errors: 8,
      checkout_error_rate: 8 / 9,
      signups: 0,
      bots: 0,
    },
    leftOut: { average_order_value: 1, net_revenue: 1, revenue: 1 },
  });
});

test('GET /api/analytics/metrics', () => {
  const { metrics, breakdowns } = parseCatalogue(metricsBody);
  assert.deepEqual(Object.fromEntries(metrics.map(({ name, unit }) => [name, unit])), {
    events: 'count',
    page_views: 'count',
    sessions: 'count',
    purchases: 'count',
    revenue: 'money',
    refunds: 'money',
    net_revenue: 'money',
    orders_booked: 'count',
    orders_tracked: 'count',
    average_order_value: 'money',
    conversion: 'ratio',
    errors: 'count',
    error_rate: 'ratio',
    checkout_errors: 'count',
    checkout_error_rate: 'ratio',
    signups: 'count',
    bots: 'count',
  });
  assert.deepEqual(breakdowns, [
    { type: 'error', property: 'code', sums: [] },
    { type: 'error', property: 'gateway', sums: [] },
    { type: 'error', property: 'path', sums: [] },
    { type: 'purchase', property: 'gateway', sums: [] },
    { type: 'purchase', property: 'country', sums: ['revenue'] },
    { type: 'page_view', property: 'path', sums: [] },
    { type: 'page_view', property: 'referrer', sums: [] },
  ]);
});

test('GET /api/analytics/timeseries', () => {
  assert.deepEqual(
    [...parsePoints(timeseriesBody)],
    [
      [NOON - 120_000, null],
      [NOON - 60_000, 0],
      [NOON, 8 / 9],
    ],
  );
});

test('GET /api/analytics/breakdowns', () => {
  const gateways = parseBreakdowns(breakdownsBody, NOON).find(({ property }) => property === 'gateway');
  assert.deepEqual(
    gateways?.bars.map(({ value, count, before }) => [value, count, before]),
    [
      ['adyen', 8, 0],
      ['stripe', 2, 0],
    ],
  );
});

test('GET /api/analytics/alerts', () => {
  assert.deepEqual(parseAlerts(alertsBody), { firing: [manyErrors, burst], history: [earlierBurst] });
});

const MARKS = snapshotBody.marks.recent;

test('the snapshot frame', () => {
  const { firing, ...frame } = frameOf(snapshotBody);
  assert.deepEqual(frame, {
    type: 'snapshot',
    seq: 41,
    epoch: 'aab8116d7aa64722aa523c31f66d4ae6',
    timestamp: NOON + 1_500,
    pageViews: 12,
    purchases: 3,
    errors: 9,
    events: 30,
    revenue: 199_900,
    activeUsers: 1,
    activeUsersWindowSeconds: 600,
    day: '2026-11-28',
    timezone: 'Pacific/Auckland',
    currency: 'NZD',
    hidden: [],
    behindMs: 2_400,
    marks: MARKS,
    playback: null,
    error: null,
    seconds: [
      { timestamp: NOON, counts: {}, revenue: 0 },
      { timestamp: NOON + 1_000, counts: { error: 8, page_view: 1, purchase: 1 }, revenue: 199_900 },
    ],
    minutes: [
      { timestamp: NOON - 600_000, counts: { page_view: 1 }, revenue: 0 },
      { timestamp: NOON, counts: { error: 8, page_view: 1, purchase: 1 }, revenue: 199_900 },
    ],
  });
  assert.deepEqual(parseFiring(firing!), [manyErrors]);
});

test('a delta frame with alerts', () => {
  const { firing, ...frame } = frameOf(deltaBody);
  assert.deepEqual(frame, {
    type: 'delta',
    seq: 42,
    timestamp: NOON + 1_700,
    counts: { page_view: 3, purchase: 1 },
    revenue: 50_100,
    activeUsers: 3,
    behindMs: 2_600,
    marks: MARKS,
    playback: null,
    error: null,
    seconds: [{ timestamp: NOON + 1_000, counts: { page_view: 2, purchase: 1 }, revenue: 50_100 }],
    minutes: [{ timestamp: NOON - 600_000, counts: { page_view: 1, purchase: 1 }, revenue: 40_000 }],
  });
  assert.deepEqual(parseFiring(firing!), [manyErrors, burst]);
});
