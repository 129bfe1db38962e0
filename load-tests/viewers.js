// VIEWERS viewers, like open dashboards, watch the stream while a small load runs beside them. Each
// checks that no frame is missing, and how old each frame is when it arrives. One viewer in four hangs
// up after a while and resumes where it was. `load-tests/run viewers` runs this.
//
// BASE      the server
// VIEWERS   how many (200)
// RATE      events a second (5,000)
// DURATION  how long (30)

import ws from 'k6/ws';
import exec from 'k6/execution';
import { check } from 'k6';
import { Counter, Trend } from 'k6/metrics';
import { STATS, requests, send, summary as sums } from './lib/send.js';

const BASE = __ENV.BASE || 'http://127.0.0.1:8080';
const VIEWERS = Number(__ENV.VIEWERS || 200);
const RATE = Number(__ENV.RATE || 5_000);
const SECONDS = Number(__ENV.DURATION || 30);
const BATCH = 100;
const prepared = requests('usual', 5, BATCH, null, true);
const URL = `${BASE.replace('http', 'ws')}/api/analytics/stream`;

const frames = new Counter('viewer_frames');
const gaps = new Counter('viewer_gaps');
const age = new Trend('viewer_frame_age_ms');
const quiet = new Trend('viewer_between_frames_ms');

export const options = {
  scenarios: {
    viewers: {
      executor: 'per-vu-iterations',
      exec: 'watch',
      vus: VIEWERS,
      iterations: 1,
      maxDuration: `${SECONDS + 30}s`,
    },
    collectors: {
      executor: 'constant-arrival-rate',
      exec: 'collect',
      startTime: '2s',
      rate: Math.max(1, Math.round(RATE / BATCH)),
      timeUnit: '1s',
      duration: `${SECONDS - 2}s`,
      preAllocatedVUs: 20,
      maxVUs: 100,
    },
  },
  thresholds: {
    checks: ['rate==1'],
    viewer_gaps: ['count==0'],
    viewer_frame_age_ms: ['p(99)<500'],
    // The server sends a frame each second even if nothing happens.
    viewer_between_frames_ms: ['max<5000'],
    lost_events: ['count==0'],
  },
  summaryTrendStats: STATS,
};

// Watches for `seconds` or until it hangs up by itself. Returns the last frame that it saw.
function watchFor(seconds, resume) {
  const seen = { epoch: resume?.epoch, seq: resume?.seq ?? null, snapshots: 0, deltas: 0 };
  let last = 0;
  const query = resume ? `?resume=${resume.epoch}:${resume.seq}` : '';
  const answer = ws.connect(URL + query, { headers: { origin: BASE } }, (socket) => {
    socket.on('message', (text) => {
      const now = Date.now();
      const frame = JSON.parse(text);
      frames.add(1);
      if (last) quiet.add(now - last);
      last = now;
      if (frame.type === 'snapshot') {
        seen.snapshots += 1;
        seen.epoch = frame.epoch;
      } else {
        if (seen.seq !== null && frame.seq !== seen.seq + 1) gaps.add(1);
        seen.deltas += 1;
        // Frames that a resumed viewer had missed are old; that is no delay of the server.
        if (!resume || seen.deltas > 20) age.add(now - frame.timestamp);
      }
      seen.seq = frame.seq;
    });
    socket.setTimeout(() => socket.close(), seconds * 1000);
  });
  check(answer, { 'the stream opens': (r) => r && r.status === 101 });
  return seen;
}

export function watch() {
  const leaves = exec.vu.idInTest % 4 === 0;
  const first = watchFor(leaves ? SECONDS / 2 : SECONDS, null);
  check(first, {
    'it begins with one snapshot': (seen) => seen.snapshots === 1,
    'deltas follow': (seen) => seen.deltas > 0,
  });
  if (!leaves) return;
  const second = watchFor(SECONDS / 2 - 1, first);
  check(second, {
    'it resumes without a snapshot': (seen) => seen.snapshots === 0,
    'deltas go on': (seen) => seen.deltas > 0,
  });
}

export function collect() {
  const number = exec.scenario.iterationInTest;
  send(prepared(number), BATCH, number, 0, 0);
}

export function handleSummary(data) {
  const out = sums(data);
  const value = (name, kind) => data.metrics[name]?.values[kind] ?? 0;
  const ages = data.metrics.viewer_frame_age_ms?.values ?? {};
  out.stdout +=
    `viewers: ${VIEWERS}, ${value('viewer_frames', 'count')} frames, ` +
    `${value('viewer_gaps', 'count')} gaps; age of a frame p50 ${ages.med} ms, ` +
    `p95 ${ages['p(95)']} ms, p99 ${ages['p(99)']} ms, max ${ages.max} ms\n`;
  return out;
}
