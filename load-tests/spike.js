// A quiet shop that everybody visits from one second to the next: the rate jumps from RATE/20 to RATE,
// stays there, and falls back. `load-tests/run spike` runs this.
//
// BASE      the server
// RATE      events a second at the top (60,000)
// DURATION  how long it stays there (20)
// BATCH     events a request (100)

import exec from 'k6/execution';
import { STATS, requests, send, summary } from './lib/send.js';

const RATE = Number(__ENV.RATE || 60_000);
const SECONDS = Number(__ENV.DURATION || 20);
const BATCH = Number(__ENV.BATCH || 100);
const QUIET_S = 10;
const AGAIN = 500;
const prepared = requests('usual', 4, BATCH, null, true);

const top = Math.max(1, Math.round(RATE / BATCH));
const quiet = Math.max(1, Math.round(top / 20));

export const options = {
  scenarios: {
    collectors: {
      executor: 'ramping-arrival-rate',
      startRate: quiet,
      timeUnit: '1s',
      stages: [
        { target: quiet, duration: `${QUIET_S}s` },
        { target: top, duration: '0s' },
        { target: top, duration: `${SECONDS}s` },
        { target: quiet, duration: '0s' },
        { target: quiet, duration: `${QUIET_S}s` },
      ],
      // All VUs are made before the jump, since making them takes time.
      preAllocatedVUs: 200,
      maxVUs: 400,
      gracefulStop: '60s',
    },
  },
  thresholds: {
    lost_events: ['count==0'],
    http_req_failed: ['rate<0.001'],
    http_req_duration: ['p(99)<2000'],
  },
  summaryTrendStats: STATS,
};

export default function () {
  const number = exec.scenario.iterationInTest;
  send(prepared(number), BATCH, number, 0, AGAIN);
}

export const handleSummary = summary;
