// The frames of /api/analytics/stream, read with care: the page may be older or newer than the
// server, so unknown fields are ignored and missing optional ones get a plain default. Money leaves
// this file as integers, since adding decimals as floats would drift by a cent over a day.

import { isObject, number, numberOrNull, objects, string, strings, type Json } from '../json';

/** Fixed-point money: 1/10,000 of the currency's unit. Exact up to about 900 billion units. */
export type MoneyUnits = number;

export const MONEY_SCALE = 10_000;

/** Events by type in one bucket of event time. In a delta: the increment of that bucket. */
export interface Bucket {
  /** Start of the bucket, Unix milliseconds. */
  timestamp: number;
  counts: Readonly<Record<string, number>>;
  revenue: MoneyUnits;
}

interface FrameBase {
  seq: number;
  timestamp: number;
  /** How far the live numbers lag behind what was taken in; 0 when they don't. */
  behindMs: number;
  seconds: Bucket[];
  minutes: Bucket[];
  /** Of frames that play the past back; null of those of now. */
  playback: Playback | null;
  /** What the server does not do of what was wanted; only of a playback. */
  error: string | null;
  /** The alerts that fire, as the server writes them; null where the frame says nothing of alerts. */
  firing: readonly Json[] | null;
  /** The marks of the last day, as the server writes them; null where the frame says nothing of marks. */
  marks: readonly Json[] | null;
}

export interface Playback {
  /** Seconds of the past in a second; 0 is a pause. */
  speed: number;
  /** Up to which moment is counted, Unix milliseconds. */
  asOf: number;
  /** Only whole minutes are known there, and not their seconds. */
  isByMinute: boolean;
}

/** The whole state at `seq`. May come at any time, and replaces everything. */
export interface SnapshotFrame extends FrameBase {
  type: 'snapshot';
  epoch: string;
  pageViews: number;
  purchases: number;
  errors: number;
  events: number;
  revenue: MoneyUnits;
  /** Null where it is not known, as of a moment long ago. */
  activeUsers: number | null;
  activeUsersWindowSeconds: number;
  /** Business day as YYYY-MM-DD, in `timezone`. */
  day: string;
  timezone: string;
  currency: string;
  /** The metrics that this viewer may not see: what the frame says of them is 0 and means nothing. */
  hidden: readonly string[];
}

/** Increments of today's totals since the frame before. */
export interface DeltaFrame extends FrameBase {
  type: 'delta';
  counts: Readonly<Record<string, number>>;
  revenue: MoneyUnits;
  activeUsers: number | null;
}

export type Frame = SnapshotFrame | DeltaFrame;

/** JSON money has at most four decimals, so rounding only undoes the binary fraction. */
export const toMoneyUnits = (value: unknown): MoneyUnits => Math.round(number(value) * MONEY_SCALE);

function toCounts(value: unknown): Record<string, number> {
  if (!isObject(value)) return {};
  // A type may be called `__proto__`, which could not be assigned to.
  return Object.fromEntries(Object.entries(value).map(([type, count]) => [type, number(count)]));
}

function toBuckets(value: unknown): Bucket[] {
  return objects(value).map((entry) => ({
    timestamp: number(entry.timestamp),
    counts: toCounts(entry.counts),
    revenue: toMoneyUnits(entry.revenue),
  }));
}

export const sumCounts = (counts: Readonly<Record<string, number>>): number =>
  Object.values(counts).reduce((sum, count) => sum + count, 0);

/** A list in a part of a frame. A server that is older than this page says nothing of it. */
const listIn = (part: unknown, name: string): readonly Json[] | null => (isObject(part) ? objects(part[name]) : null);

function toPlayback({ playback, error }: Json): Pick<FrameBase, 'playback' | 'error'> {
  return {
    playback: isObject(playback)
      ? {
          speed: number(playback.speed),
          asOf: number(playback.asOf),
          isByMinute: playback.resolution === '1m',
        }
      : null,
    error: isObject(error) ? string(error.message, 'this can not be played') : null,
  };
}

function toSnapshot(frame: Json, seq: number, timestamp: number): SnapshotFrame | null {
  const body = frame.snapshot;
  if (!isObject(body)) return null;
  const counts = toCounts(body.counts);
  return {
    type: 'snapshot',
    seq,
    timestamp,
    epoch: string(frame.epoch, ''),
    pageViews: number(body.pageViews, counts.page_view ?? 0),
    purchases: number(body.purchases, counts.purchase ?? 0),
    errors: number(body.errors, counts.error ?? 0),
    events: number(body.events, sumCounts(counts)),
    revenue: toMoneyUnits(body.revenue),
    activeUsers: numberOrNull(body.activeUsers),
    activeUsersWindowSeconds: number(body.activeUsersWindowSeconds, 300),
    day: string(body.day, new Date(timestamp).toISOString().slice(0, 10)),
    timezone: string(body.timezone, 'UTC'),
    currency: string(body.currency, 'USD'),
    hidden: strings(body.hidden),
    behindMs: Math.max(0, number(frame.behindMs, number(body.behindMs))),
    seconds: toBuckets(body.seconds),
    minutes: toBuckets(body.minutes),
    firing: listIn(frame.alerts, 'firing'),
    ...toPlayback(frame),
    marks: listIn(frame.marks, 'recent'),
  };
}

/**
 * One text frame, or null when it is not one of ours. Any frame that is not a snapshot is read as a
 * delta: the contract gives every frame `counts` and `revenue`, whatever its type is called later.
 */
export function parseFrame(text: string): Frame | null {
  let frame: unknown;
  try {
    frame = JSON.parse(text);
  } catch {
    return null;
  }
  if (!isObject(frame) || typeof frame.seq !== 'number' || typeof frame.timestamp !== 'number') return null;
  if (frame.type === 'snapshot') return toSnapshot(frame, frame.seq, frame.timestamp);
  return {
    type: 'delta',
    seq: frame.seq,
    timestamp: frame.timestamp,
    counts: toCounts(frame.counts),
    revenue: toMoneyUnits(frame.revenue),
    activeUsers: typeof frame.activeUsers === 'number' ? frame.activeUsers : null,
    behindMs: Math.max(0, number(frame.behindMs)),
    seconds: toBuckets(frame.seconds),
    minutes: toBuckets(frame.minutes),
    firing: listIn(frame.alerts, 'firing'),
    ...toPlayback(frame),
    marks: listIn(frame.marks, 'recent'),
  };
}
