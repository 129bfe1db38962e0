// Smoke: 10 seconds of batches at a constant arrival rate, one viewer beside them, and a
// count afterwards. Every event has an id, so that a retry would show as a duplicate.
import http from 'k6/http';
import exec from 'k6/execution';
import ws from 'k6/ws';
import { check } from 'k6';
import { Counter } from 'k6/metrics';

const URL = __ENV.URL;
const BATCH = 50;
const accepted = new Counter('events_accepted');
const frames = new Counter('frames');

export const options = {
  scenarios: {
    events: {
      executor: 'constant-arrival-rate', exec: 'events',
      rate: 40, timeUnit: '1s', duration: '10s', preAllocatedVUs: 10,
    },
    viewer: { executor: 'per-vu-iterations', exec: 'viewer', vus: 1, iterations: 1 },
  },
  thresholds: {
    checks: ['rate==1'],
    http_req_failed: ['rate==0'],
    dropped_iterations: ['count==0'],
    events_accepted: ['count>15000'],
    frames: ['count>20'],
  },
};

function event(n) {
  const draw = Math.random();
  const event = {
    id: `${exec.vu.idInTest}-${exec.vu.iterationInInstance}-${n}`,
    sessionId: `s${exec.vu.idInTest}-${n % 7}`,
    type: draw < 0.9 ? 'page_view' : draw < 0.95 ? 'error' : 'purchase',
    properties: { path: '/checkout' },
  };
  if (event.type === 'purchase') event.properties.amount = 19.99;
  return event;
}

export function events() {
  const body = JSON.stringify(Array.from({ length: BATCH }, (_, n) => event(n)));
  const answer = http.post(`${URL}/v1/events`, body, { headers: { 'Content-Type': 'application/json' } });
  const good = check(answer, {
    'answered 202': (r) => r.status === 202,
    'all accepted': (r) => r.json('accepted') === BATCH,
  });
  if (good) accepted.add(BATCH);
}

export function viewer() {
  let seq = null;
  let ordered = true;
  let total = 0;
  ws.connect(`${URL.replace('http', 'ws')}/api/analytics/stream`, {}, (socket) => {
    socket.on('message', (text) => {
      const frame = JSON.parse(text);
      frames.add(1);
      if (frame.type === 'snapshot') {
        total = frame.snapshot.events;
      } else {
        ordered = ordered && frame.seq === seq + 1;
        for (const type in frame.counts) total += frame.counts[type];
      }
      seq = frame.seq;
    });
    socket.setTimeout(() => socket.close(), 12000);
  });
  check(null, { 'frames came without a gap': () => ordered });
  const current = http.get(`${URL}/api/analytics/current`).json('events');
  check(total, { 'snapshot and deltas add up to /current': (sum) => sum === current });
}

// What k6 saw accepted, for smoke.sh to hold against the server's own count.
export function handleSummary(data) {
  const values = (name) => data.metrics[name]?.values ?? {};
  const failed = Object.entries(data.metrics).flatMap(([name, metric]) =>
    Object.entries(metric.thresholds ?? {}).filter(([, t]) => !t.ok).map(([t]) => `${name}: ${t}`));
  const accepted = values('events_accepted').count ?? 0;
  return {
    stdout: `k6: ${accepted} events accepted, ${values('frames').count ?? 0} frames, `
      + `p95 ${(values('http_req_duration')['p(95)'] ?? 0).toFixed(1)} ms; `
      + `thresholds failed: ${failed.join(', ') || 'none'}\n`,
    [__ENV.SUMMARY]: JSON.stringify({ accepted }),
  };
}
