// Sends at a constant rate for a while. `load-tests/run soak` and `load-tests/run outage` run it, and
// `load-tests/bench` does while it measures latency.
//
// BASE      the server
// RATE      events a second (50,000)
// DURATION  how long (60)
// BATCH     events a request (100)

import exec from 'k6/execution';
import { STATS, requests, send, summary } from './lib/send.js';

const RATE = Number(__ENV.RATE || 50_000);
const BATCH = Number(__ENV.BATCH || 100);
const AGAIN = 500;
const prepared = requests('usual', 3, BATCH, null, true);

export const options = {
  scenarios: {
    collectors: {
      executor: 'constant-arrival-rate',
      rate: Math.max(1, Math.round(RATE / BATCH)),
      timeUnit: '1s',
      duration: `${__ENV.DURATION || 60}s`,
      preAllocatedVUs: 150,
      maxVUs: 400,
      gracefulStop: '60s',
    },
  },
  thresholds: { lost_events: ['count==0'], http_req_failed: ['rate<0.001'] },
  summaryTrendStats: STATS,
};

export default function () {
  const number = exec.scenario.iterationInTest;
  send(prepared(number), BATCH, number, 0, AGAIN);
}

export const handleSummary = summary;
