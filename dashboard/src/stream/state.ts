// The state of the live view, and the one pure function that moves it: `applyFrame`.
//
// Invariant: after a snapshot and any run of deltas without a gap in `seq`, the totals are exactly
// what GET /api/analytics/current would have said at that `seq`. The gap itself is the business of
// connection.ts, which drops the connection rather than let a wrong sum through.

import type { Json } from '../json';
import { sumCounts, type DeltaFrame, type Frame, type MoneyUnits, type SnapshotFrame } from './frames';
import { MINUTE_MS, SECOND_MS, addBuckets, bucketStart, lastBuckets, sumOf, type Series } from './series';

/** How many seconds and minutes are drawn. */
export const SECONDS_SHOWN = 60;
export const MINUTES_SHOWN = 60;

/** Buckets kept beyond those drawn, so that a clock correction of a few seconds shows no hole. */
const SPARE_BUCKETS = 10;

/** The error rate "last 5 minutes": the minute in progress and the four before it. */
export const ERROR_RATE_MINUTES = 5;

export interface Totals {
  pageViews: number;
  purchases: number;
  errors: number;
  events: number;
  revenue: MoneyUnits;
}

/** Active users as this page saw them, one sample a second. The server keeps no history of it. */
export interface ActiveSample {
  timestamp: number;
  activeUsers: number;
}

export interface LiveState {
  /** Server time of the newest frame, Unix milliseconds. */
  timestamp: number;
  day: string;
  timezone: string;
  currency: string;
  /** The metrics that this viewer may not see. Their totals are 0 here, and are not shown. */
  hidden: readonly string[];
  /** The totals of `day`, by event time. */
  totals: Totals;
  /** Null where it is not known, as of a moment long ago. */
  activeUsers: number | null;
  activeUsersWindowSeconds: number;
  behindMs: number;
  /** The marks of the last day, the newest first. */
  marks: readonly Json[];
  /** Empty where `hasSeconds` says that they are not known. */
  seconds: Series;
  /** Of the past, seconds may not be known, or not be played. */
  hasSeconds: boolean;
  minutes: Series;
  activeTrail: readonly ActiveSample[];
}

const oldestKept = (now: number, bucketMs: number, shown: number): number =>
  bucketStart(now, bucketMs) - (shown + SPARE_BUCKETS) * bucketMs;

function extendTrail(trail: readonly ActiveSample[], now: number, activeUsers: number | null): readonly ActiveSample[] {
  const timestamp = bucketStart(now, SECOND_MS);
  const oldest = timestamp - (SECONDS_SHOWN + SPARE_BUCKETS) * SECOND_MS;
  const kept = trail.filter((sample) => sample.timestamp >= oldest && sample.timestamp < timestamp);
  return activeUsers === null ? kept : [...kept, { timestamp, activeUsers }];
}

/** From this speed on, a playback goes by whole minutes and tells no seconds. */
export const BY_MINUTE_SPEED = 60;

const hasSeconds = ({ playback }: Frame): boolean =>
  playback === null || (!playback.isByMinute && playback.speed < BY_MINUTE_SPEED);

function fromSnapshot(frame: SnapshotFrame, before: LiveState | null): LiveState {
  const { timestamp, day, timezone, currency, hidden, activeUsers, activeUsersWindowSeconds } = frame;
  const { pageViews, purchases, errors, events, revenue } = frame;
  return {
    timestamp,
    day,
    timezone,
    currency,
    hidden,
    totals: { pageViews, purchases, errors, events, revenue },
    activeUsers,
    activeUsersWindowSeconds,
    behindMs: frame.behindMs,
    // A playback says nothing of marks: those of the day stay.
    marks: frame.marks ?? before?.marks ?? [],
    hasSeconds: hasSeconds(frame),
    seconds: addBuckets([], frame.seconds, SECOND_MS, oldestKept(timestamp, SECOND_MS, SECONDS_SHOWN)),
    minutes: addBuckets([], frame.minutes, MINUTE_MS, oldestKept(timestamp, MINUTE_MS, MINUTES_SHOWN)),
    // The trail is the only thing that outlives a snapshot: it says what this page saw, and nothing of totals.
    activeTrail: extendTrail(before?.activeTrail ?? [], timestamp, activeUsers),
  };
}

function withDelta(state: LiveState, frame: DeltaFrame): LiveState {
  const { counts, timestamp } = frame;
  // A frame of now that says nothing of them leaves them as they are.
  const activeUsers = frame.activeUsers ?? (frame.playback ? null : state.activeUsers);
  return {
    ...state,
    timestamp,
    totals: {
      pageViews: state.totals.pageViews + (counts.page_view ?? 0),
      purchases: state.totals.purchases + (counts.purchase ?? 0),
      errors: state.totals.errors + (counts.error ?? 0),
      events: state.totals.events + sumCounts(counts),
      revenue: state.totals.revenue + frame.revenue,
    },
    activeUsers,
    behindMs: frame.behindMs,
    marks: frame.marks ?? state.marks,
    // A stretch of minutes leaves a gap in the seconds, which only a snapshot fills.
    hasSeconds: state.hasSeconds && hasSeconds(frame),
    seconds: addBuckets(state.seconds, frame.seconds, SECOND_MS, oldestKept(timestamp, SECOND_MS, SECONDS_SHOWN)),
    // An event is in `seconds` or in `minutes`, never in both, so the minute gets the two together.
    minutes: addBuckets(
      state.minutes,
      [...frame.minutes, ...frame.seconds],
      MINUTE_MS,
      oldestKept(timestamp, MINUTE_MS, MINUTES_SHOWN),
    ),
    activeTrail: extendTrail(state.activeTrail, timestamp, activeUsers),
  };
}

/** The state after `frame`. A delta with nothing to add to changes nothing. */
export function applyFrame(state: LiveState | null, frame: Frame): LiveState | null {
  if (frame.type === 'snapshot') return fromSnapshot(frame, state);
  return state && withDelta(state, frame);
}

const ratio = (part: number, whole: number): number => (whole === 0 ? 0 : part / whole);

export const errorRateToday = ({ totals }: LiveState): number => ratio(totals.errors, totals.events);

export function errorRateRecent(state: LiveState, now: number): number {
  const points = lastBuckets(state.minutes, now, MINUTE_MS, ERROR_RATE_MINUTES);
  return ratio(
    sumOf(points, (point) => point.errors),
    sumOf(points, (point) => point.events),
  );
}

/** Numbers that lag by this much are said to be behind. A smaller lag is the server's ordinary tick. */
const BEHIND_FROM_MS = 2_000;

/** By how much counting lags behind, in milliseconds; 0 where it keeps up. */
export const behindMs = (state: LiveState | null): number =>
  state && state.behindMs >= BEHIND_FROM_MS ? state.behindMs : 0;

/** Whether this viewer may not see a metric. */
export const isHidden = (state: LiveState | null, metric: string): boolean => state?.hidden.includes(metric) ?? false;

/** No event today and none in the last hour, as in a shop that has not sent its first one. */
export const isEmpty = ({ totals, minutes }: LiveState): boolean => totals.events === 0 && minutes.length === 0;

/** Active users by second, up to the last 60; shorter when the page was opened since. */
export const activeUsersBySecond = (state: LiveState, now: number): number[] =>
  state.activeTrail
    .filter((sample) => sample.timestamp > now - SECONDS_SHOWN * SECOND_MS)
    .map((sample) => sample.activeUsers);
