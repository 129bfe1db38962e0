// Time series of buckets. Kept sparse (a quiet second has no entry) and made dense only where it
// is drawn, so that time moves on and zeros appear without anybody writing zeros.

import { sumCounts, type Bucket, type MoneyUnits } from './frames';

export const SECOND_MS = 1_000;
export const MINUTE_MS = 60_000;

/** What the page shows of a bucket. */
export interface Point {
  /** Start of the bucket, Unix milliseconds. */
  timestamp: number;
  pageViews: number;
  purchases: number;
  errors: number;
  events: number;
  revenue: MoneyUnits;
}

/** Sparse, oldest first, at most one point a bucket. */
export type Series = readonly Point[];

export const bucketStart = (timestamp: number, bucketMs: number): number => Math.floor(timestamp / bucketMs) * bucketMs;

const emptyPoint = (timestamp: number): Point => ({
  timestamp,
  pageViews: 0,
  purchases: 0,
  errors: 0,
  events: 0,
  revenue: 0,
});

const isQuiet = (bucket: Bucket): boolean => bucket.revenue === 0 && sumCounts(bucket.counts) === 0;

/**
 * `series` plus the increments, folded to buckets of `bucketMs`. Buckets that started before
 * `oldest` go, which bounds the series whatever the server sends.
 */
export function addBuckets(series: Series, increments: readonly Bucket[], bucketMs: number, oldest: number): Series {
  const live = increments.filter((bucket) => !isQuiet(bucket));
  if (live.length === 0 && (series[0]?.timestamp ?? oldest) >= oldest) return series;

  const points = new Map(series.map((point) => [point.timestamp, point]));
  for (const { timestamp, counts, revenue } of live) {
    const start = bucketStart(timestamp, bucketMs);
    const before = points.get(start) ?? emptyPoint(start);
    points.set(start, {
      timestamp: start,
      pageViews: before.pageViews + (counts.page_view ?? 0),
      purchases: before.purchases + (counts.purchase ?? 0),
      errors: before.errors + (counts.error ?? 0),
      events: before.events + sumCounts(counts),
      revenue: before.revenue + revenue,
    });
  }
  return [...points.values()].filter((point) => point.timestamp >= oldest).sort((a, b) => a.timestamp - b.timestamp);
}

/**
 * The last `count` buckets as of `now`, zeros included, oldest first. The last one is the bucket in
 * progress.
 */
export function lastBuckets(series: Series, now: number, bucketMs: number, count: number): Point[] {
  const points = new Map(series.map((point) => [point.timestamp, point]));
  const last = bucketStart(now, bucketMs);
  return Array.from({ length: count }, (_, index) => {
    const timestamp = last - (count - 1 - index) * bucketMs;
    return points.get(timestamp) ?? emptyPoint(timestamp);
  });
}

export const sumOf = (points: readonly Point[], pick: (point: Point) => number): number =>
  points.reduce((sum, point) => sum + pick(point), 0);
