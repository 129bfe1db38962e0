// Sends requests of events, tries those that failed again with the same ids, and counts what became
// of the events.

import http from 'k6/http';
import { sleep } from 'k6';
import { SharedArray } from 'k6/data';
import { Counter } from 'k6/metrics';
import { prepare, render, stamp } from './shop.js';

const BASE = __ENV.BASE || 'http://127.0.0.1:8080';
const TRIES = 8;
const PREPARED = 32;
const MAX_DROPPED = 0.01;
/** False in tests, which judge what became of the events and not how fast it was. */
export const JUDGES_SPEED = __ENV.SPEED !== '0';
const PARAMS = { headers: { 'content-type': 'application/json' }, timeout: '20s' };
/** Four hex digits in all ids of this run, so that no other run has the same ids. */
const RUN = (__ENV.RUN || '0001').padStart(4, '0').slice(-4);

export const tally = {
  distinct: new Counter('distinct_events'), // handed to send, each counted once
  sent: new Counter('sent_events'), // in answered tries, as often as they were sent
  accepted: new Counter('accepted_events'),
  duplicates: new Counter('duplicate_events'),
  rejected: new Counter('rejected_events'),
  bad: new Counter('bad_events'), // of the distinct ones: those that must be refused
  unanswered: new Counter('unanswered_events'), // in tries without a usable answer
  lost: new Counter('lost_events'), // given up after the last try
  retries: new Counter('retries'),
  pageViews: new Counter('sent_page_views'),
  purchases: new Counter('sent_purchases'),
  errors: new Counter('sent_errors'),
  cents: new Counter('sent_cents'),
};

/**
 * Requests prepared once for all VUs (see `prepare`): a function that gives the one for a
 * number. A VU keeps its copies, since each look into a SharedArray decodes JSON.
 */
export function requests(name, seed, batch, incident, bad) {
  const shared = new SharedArray(name, () => prepare(seed, PREPARED, batch, incident, bad));
  const mine = [];
  return (number) => (mine[number % PREPARED] ??= shared[number % PREPARED]);
}

/**
 * Sends a prepared request of `batch` events as number `number`. One in `again` (0: none) is
 * sent once more although it was answered, as by a client that lost the answer. The events
 * are dated `at` (Unix ms). Writes a line a try for the report: begin, ms, status, events,
 * accepted, duplicates, rejected, minute; none where `minute` is null, before the day begins.
 */
export function send(request, batch, number, minute, again, at = Date.now()) {
  // A session lives through a thousand requests of its number.
  const mark = stamp(RUN, number, at, number >> 10);
  const body = render(request.texts, mark, minute ?? -1);
  tally.distinct.add(batch);
  if (request.bad) tally.bad.add(request.bad);
  tally.pageViews.add(request.pageViews);
  tally.purchases.add(request.purchases);
  tally.errors.add(request.errors);
  tally.cents.add(request.cents);
  const twice = again > 0 && number % again === 0;
  for (let tries = 1; ; tries++) {
    const answered = attempt(body, batch, minute);
    if (answered && (tries > 1 || !twice)) return;
    if (tries === TRIES) {
      tally.lost.add(batch);
      return;
    }
    tally.retries.add(1);
    if (!answered) sleep(Math.min(2 ** tries * 0.1, 5) * (0.5 + Math.random()));
  }
}

// Sends the request once. False if no answer says what became of the events.
function attempt(body, batch, minute) {
  const begin = Date.now();
  const answer = http.post(`${BASE}/v1/events`, body, PARAMS);
  let accepted = 0;
  let duplicates = 0;
  let rejected = 0;
  if (answer.status === 202) {
    if (answer.body === `{"accepted":${batch},"duplicates":0,"rejected":[]}`) {
      accepted = batch;
    } else {
      const said = JSON.parse(answer.body);
      accepted = said.accepted;
      duplicates = said.duplicates;
      rejected = said.rejected.length;
    }
    tally.sent.add(batch);
    tally.accepted.add(accepted);
    if (duplicates) tally.duplicates.add(duplicates);
    if (rejected) tally.rejected.add(rejected);
  } else {
    tally.unanswered.add(batch);
  }
  const ms = answer.timings.duration.toFixed(2);
  if (minute !== null) console.log([begin, ms, answer.status, batch, accepted, duplicates, rejected, minute].join());
  return answer.status === 202;
}

/** k6's summary as the sums that account.mjs compares, and as lines for people. */
export function summary(data) {
  const value = (name, kind) => data.metrics[name]?.values[kind] ?? 0;
  const failed = [];
  for (const [name, metric] of Object.entries(data.metrics)) {
    for (const [rule, result] of Object.entries(metric.thresholds || {})) {
      if (!result.ok) failed.push(`${name}: ${rule}`);
    }
  }
  const dropped = value('dropped_iterations', 'count');
  // k6 could not begin these requests in time. If they are more than a few, the load was not the
  // one that was asked for.
  const begun = value('iterations', 'count');
  if (JUDGES_SPEED && dropped > MAX_DROPPED * (begun + dropped))
    failed.push(`dropped iterations: ${dropped}`);
  const sums = { failed, dropped };
  for (const [key, counter] of Object.entries(tally)) sums[key] = value(counter.name, 'count');
  const times = data.metrics.http_req_duration?.values ?? {};
  sums.latency = { p50: times.med, p95: times['p(95)'], p99: times['p(99)'], max: times.max };
  sums.requests = value('http_reqs', 'count');
  const ms = (time) => `${(time ?? 0).toFixed(1)} ms`;
  const lines = [
    `k6: ${sums.distinct} events, ${sums.requests} requests, ${sums.retries} sent again, ` +
      `${sums.dropped} not begun in time`,
    `k6: latency p50 ${ms(times.med)}, p95 ${ms(times['p(95)'])}, p99 ${ms(times['p(99)'])}, ` +
      `max ${ms(times.max)}`,
    ...failed.map((rule) => `k6: threshold not met: ${rule}`),
  ];
  const out = { stdout: `${lines.join('\n')}\n` };
  if (__ENV.SUMMARY) out[__ENV.SUMMARY] = JSON.stringify(sums);
  return out;
}

/** The options that all scenarios share. */
export const STATS = ['med', 'p(95)', 'p(99)', 'max'];
