// Replays a whole Black Friday: the event rates of profile.json, 24 hours in MINUTES minutes.
// `load-tests/run black-friday` starts what it needs, and makes the report.
//
// BASE     the server
// MINUTES  how long the day takes (10)
// SCALE    factor on the profile, whose highest minute has 55,000 events a second (1)
// BATCH    events a request (100)
// BEFORE   minutes before it whose events are sent first, dated then, BEFORE_RATE (20) requests
//          for each, so that alerts have an hour to compare with (60)
// FROM TO  hours of the day that are replayed (0, 24)
// SPEED    0: nothing is judged by its time, only by what became of it

import exec from 'k6/execution';
import { JUDGES_SPEED, STATS, requests, send, summary } from './lib/send.js';

const MINUTES = Number(__ENV.MINUTES || 10);
const SCALE = Number(__ENV.SCALE || 1);
const BATCH = Number(__ENV.BATCH || 100);
const BEFORE = Number(__ENV.BEFORE || 60);
const BEFORE_RATE = Number(__ENV.BEFORE_RATE || 20);
const FROM = Number(__ENV.FROM || 0) * 60;
const TO = Number(__ENV.TO || 24) * 60;
// Minutes of the profile that make one stage: short enough that no peak is cut off.
const STEP = 5;
// One request in this many is sent again although it was answered, as after a lost answer.
const AGAIN = 500;
// The numbers of the requests before the day begin here, far from the numbers of the day.
const BEFORE_NUMBER = 1_000_000_000;

const profile = JSON.parse(open('./profile.json'));
const { incident } = profile;
const usual = requests('usual', 1, BATCH, null, true);
const failing = requests('failing', 2, BATCH, incident, false);

const rate = (minute) => Math.max(1, Math.round((profile.rates[minute] * SCALE) / BATCH));
const stages = [];
for (let minute = FROM; minute < TO; minute += STEP) {
  const end = Math.min(minute + STEP, TO);
  const ms = ((end - minute) / 1440) * MINUTES * 60_000;
  stages.push({ target: rate(Math.min(end, 1439)), duration: `${Math.round(ms)}ms` });
}

export const options = {
  setupTimeout: '5m',
  scenarios: {
    collectors: {
      executor: 'ramping-arrival-rate',
      startRate: rate(FROM),
      timeUnit: '1s',
      stages,
      preAllocatedVUs: 150,
      maxVUs: 400,
      gracefulStop: '60s',
    },
  },
  thresholds: {
    lost_events: ['count==0'],
    ...(JUDGES_SPEED && { http_req_duration: ['p(95)<500', 'p(99)<1000'] }),
  },
  summaryTrendStats: STATS,
};

export function setup() {
  const step = 60_000 / BEFORE_RATE;
  const now = Date.now();
  for (let i = 0; i < BEFORE * BEFORE_RATE; i++) {
    const at = Math.round(now - (i + 1) * step);
    send(usual(i), BATCH, BEFORE_NUMBER + i, null, 0, at);
  }
}

export default function () {
  const { progress, iterationInTest: number } = exec.scenario;
  const minute = Math.min(FROM + Math.floor(progress * (TO - FROM)), TO - 1);
  const down = minute >= incident.from && minute < incident.to;
  send((down ? failing : usual)(number), BATCH, number, minute, AGAIN);
}

export const handleSummary = summary;
