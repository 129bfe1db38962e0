// The same hour of another day, which is drawn behind this one, and the choice of the day, which this
// browser remembers.

import { number, numberOrNull, objects } from '../json';
import { recall, remember } from '../storage';

export type Baseline = 'yesterday' | 'last_week';

export const BASELINES: readonly Baseline[] = ['yesterday', 'last_week'];

export const BASELINE_WORDS: Readonly<Record<Baseline, string>> = { yesterday: 'yesterday', last_week: 'last week' };

const KEY = 'floodmark.baseline';

export const chosenBaseline = (): Baseline => (recall(KEY) === 'last_week' ? 'last_week' : 'yesterday');
export const rememberBaseline = (baseline: Baseline): void => remember(KEY, baseline);

/** A time series by the start of its bucket; null where it is not known. */
export type PointsByTime = ReadonlyMap<number, number | null>;

export const parsePoints = (body: unknown): PointsByTime =>
  new Map(objects(body).map((entry) => [number(entry.timestamp), numberOrNull(entry.count)]));

/** The series at these moments, null where it is not known. */
export const pointsAt = (points: PointsByTime | null, times: readonly number[]): (number | null)[] =>
  times.map((time) => points?.get(time) ?? null);
