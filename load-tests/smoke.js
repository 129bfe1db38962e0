// A short k6 run: collectors post batches at a constant rate while one viewer watches the
// stream. smoke.sh starts the server, runs this, and then compares what was sent with what
// the server counted (compare.mjs).
//
// BASE     the server, http://127.0.0.1:8080
// RATE     requests a second (20)
// BATCH    events a request (50)
// DURATION how long (10)
// SUMMARY  file that the sums are written to

import http from 'k6/http';
import ws from 'k6/ws';
import exec from 'k6/execution';
import { check } from 'k6';
import { Counter, Gauge } from 'k6/metrics';

const BASE = __ENV.BASE || 'http://127.0.0.1:8080';
const RATE = Number(__ENV.RATE || 20);
const BATCH = Number(__ENV.BATCH || 50);
const SECONDS = Number(__ENV.DURATION || 10);
// The viewer connects first and stays until the last events have reached it.
const HEAD_START_S = 1;
const AFTERMATH_S = 4;

export const options = {
  scenarios: {
    viewer: {
      executor: 'per-vu-iterations',
      exec: 'watch',
      vus: 1,
      iterations: 1,
      maxDuration: `${HEAD_START_S + SECONDS + AFTERMATH_S + 10}s`,
    },
    collectors: {
      executor: 'constant-arrival-rate',
      exec: 'send',
      startTime: `${HEAD_START_S}s`,
      rate: RATE,
      timeUnit: '1s',
      duration: `${SECONDS}s`,
      preAllocatedVUs: 10,
      maxVUs: 50,
    },
  },
  thresholds: {
    checks: ['rate==1'],
    http_req_failed: ['rate==0'],
    'http_req_duration{scenario:collectors}': ['p(95)<1000'],
    viewer_deltas: [`count>=${SECONDS}`],
  },
  summaryTrendStats: ['med', 'p(95)', 'p(99)', 'max'],
};

const sent = {
  events: new Counter('sent_events'),
  pageViews: new Counter('sent_page_views'),
  purchases: new Counter('sent_purchases'),
  errors: new Counter('sent_errors'),
  // In cents, so that the sum is a whole number and therefore exact.
  cents: new Counter('sent_cents'),
};
const viewerDeltas = new Counter('viewer_deltas');
const viewerPageViews = new Gauge('viewer_page_views');
const viewerCents = new Gauge('viewer_cents');

// One batch whose contents follow from its number alone.
function batch(number) {
  const events = [];
  const count = { pageViews: 0, purchases: 0, errors: 0, cents: 0 };
  for (let i = 0; i < BATCH; i++) {
    const event = {
      timestamp: Date.now(),
      sessionId: `smoke-${(number * 7 + i) % 500}`,
      id: `smoke-${__ENV.RUN || 'run'}-${number}-${i}`,
    };
    if (i % 20 === 19) {
      const cents = 999 + ((number * 31 + i * 101) % 20000);
      event.type = 'purchase';
      event.properties = { amount: cents / 100, currency: 'USD', gateway: 'stripe' };
      count.purchases += 1;
      count.cents += cents;
    } else if (i % 25 === 24) {
      event.type = 'error';
      event.properties = { code: '502', path: '/checkout' };
      count.errors += 1;
    } else {
      event.type = 'page_view';
      event.properties = { path: `/p/${i}`, country: 'DE' };
      count.pageViews += 1;
    }
    events.push(event);
  }
  return { body: JSON.stringify(events), count };
}

export function send() {
  const { body, count } = batch(exec.scenario.iterationInTest);
  const answer = http.post(`${BASE}/v1/events`, body, {
    headers: { 'content-type': 'application/json' },
  });
  const taken = check(answer, {
    'status is 202': (r) => r.status === 202,
    'every event is accepted': (r) => r.status === 202 && r.json('accepted') === BATCH,
  });
  if (!taken) return;
  sent.events.add(BATCH);
  sent.pageViews.add(count.pageViews);
  sent.purchases.add(count.purchases);
  sent.errors.add(count.errors);
  sent.cents.add(count.cents);
}

// Adds up what the plainest viewer would: the snapshot and then every delta.
export function watch() {
  const url = `${BASE.replace('http', 'ws')}/api/analytics/stream`;
  let seq = null;
  let pageViews = 0;
  let cents = 0;
  let gap = false;
  let alone = true;
  const answer = ws.connect(url, { headers: { origin: BASE } }, (socket) => {
    socket.on('message', (text) => {
      const frame = JSON.parse(text);
      if (frame.type === 'snapshot') {
        alone = alone && seq === null;
        pageViews = frame.snapshot.pageViews;
        cents = Math.round(frame.snapshot.revenue * 100);
      } else {
        gap = gap || frame.seq !== seq + 1;
        pageViews += frame.counts.page_view || 0;
        cents += Math.round(frame.revenue * 100);
        viewerDeltas.add(1);
      }
      seq = frame.seq;
    });
    socket.setTimeout(() => socket.close(), (HEAD_START_S + SECONDS + AFTERMATH_S) * 1000);
  });
  viewerPageViews.add(pageViews);
  viewerCents.add(cents);
  check(answer, { 'the stream opens': (r) => r && r.status === 101 });
  check(null, {
    'the viewer gets one snapshot': () => seq !== null && alone,
    'no delta is missing': () => !gap,
  });
}

export function handleSummary(data) {
  const value = (name, kind) => (data.metrics[name] ? data.metrics[name].values[kind] : 0);
  const trend = data.metrics.http_req_duration.values;
  const failed = [];
  for (const [name, metric] of Object.entries(data.metrics)) {
    for (const [rule, result] of Object.entries(metric.thresholds || {})) {
      if (!result.ok) failed.push(`${name}: ${rule}`);
    }
  }
  const sums = {
    events: value('sent_events', 'count'),
    pageViews: value('sent_page_views', 'count'),
    purchases: value('sent_purchases', 'count'),
    errors: value('sent_errors', 'count'),
    cents: value('sent_cents', 'count'),
    viewer: {
      deltas: value('viewer_deltas', 'count'),
      pageViews: value('viewer_page_views', 'value'),
      cents: value('viewer_cents', 'value'),
    },
  };
  const checks = data.metrics.checks ? data.metrics.checks.values : { passes: 0, fails: 0 };
  const lines = [
    `k6: ${sums.events} events in ${value('http_reqs', 'count')} requests, ` +
      `median ${trend.med.toFixed(1)} ms, p95 ${trend['p(95)'].toFixed(1)} ms, ` +
      `max ${trend.max.toFixed(1)} ms`,
    `k6: ${checks.passes} checks passed, ${checks.fails} failed; ` +
      `the viewer got ${sums.viewer.deltas} deltas`,
    ...failed.map((rule) => `k6: threshold not met: ${rule}`),
  ];
  const out = { stdout: `${lines.join('\n')}\n` };
  if (__ENV.SUMMARY) out[__ENV.SUMMARY] = JSON.stringify(sums);
  return out;
}
