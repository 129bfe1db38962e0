// What the page "Explore" shows, as its address says it, and what it asks for that.

import { isObject, number, numberOrNull, objects, string } from '../../json';
import type { Catalogue, Metric } from '../../questions/metrics';
import type { Parameters } from '../../questions/question';
import { hoursOf, intervalFor, readSpan, spanParameters, type Interval, type Span } from './span';

/** The visitors of each bucket are no metric of the configuration. */
export const VISITORS: Metric = { name: 'active_users', unit: 'count', byDayOnly: true };

export interface Exploring {
  /** A metric, or all events of one type. */
  of: { metric: Metric } | { type: string };
  span: Span;
  interval: Interval;
  /** What it is compared with, as the server calls it; empty for nothing. */
  compare: string;
  /** The breakdown under the chart: `error/gateway`; empty for none. */
  by: string;
}

/** What is shown where the address names nothing, the first that there is. */
const FIRST = ['revenue', 'purchases', 'page_views'];

export function readExploring(query: URLSearchParams, catalogue: Catalogue, now: number): Exploring {
  const span = readSpan(query);
  const all = [...catalogue.metrics, VISITORS];
  const named = (name: string | null) => all.find((metric) => metric.name === name);
  const type = query.get('type');
  const asked = query.get('metric');
  // A metric that the catalogue does not have is asked all the same: the server says why there is none.
  const unknown = asked ? { name: asked, unit: 'number' as const, byDayOnly: false } : null;
  const metric = named(asked) ?? unknown ?? FIRST.map(named).find(Boolean) ?? all[0]!;
  const of = type && !asked ? { type } : { metric };
  const byDayOnly = 'metric' in of && of.metric.byDayOnly;
  return {
    of,
    span,
    interval: intervalFor(query.get('interval'), hoursOf(span, now), byDayOnly),
    compare: query.get('compare') ?? '',
    by: query.get('by') ?? '',
  };
}

/** The parameters of the time series. */
export function seriesParameters({ of, span, interval }: Exploring, day: string): Parameters {
  const what = 'metric' in of ? { metric: of.metric.name } : { type: of.type };
  return { ...what, interval: interval.name, ...spanParameters(span, day) };
}

export interface Bucketed {
  timestamp: number;
  /** Null where it is not known. */
  value: number | null;
  inProgress: boolean;
  approximate: boolean;
}

export const parseSeries = (body: unknown): readonly Bucketed[] =>
  objects(body).map((entry) => ({
    timestamp: number(entry.timestamp),
    value: numberOrNull(entry.count),
    inProgress: entry.inProgress === true,
    approximate: entry.approximate === true,
  }));

/** The most that a breakdown is asked for by minutes: what is longer names its ends. */
const MOST_MINUTES = 1_440;

/** The parameters of the breakdown, or null where none is chosen. `sum` is a metric of which it keeps sums. */
export function breakdownParameters({ by, span }: Exploring, day: string, sum: string | null): Parameters | null {
  const at = by.indexOf('/');
  if (at <= 0) return null;
  const name = { type: by.slice(0, at), property: by.slice(at + 1) };
  const { hours, ...ends } = spanParameters(span, day) as Record<string, string>;
  const minutes = Math.min(MOST_MINUTES, Number(hours) * 60);
  const when: Parameters = hours ? { minutes: String(minutes) } : ends;
  return { ...name, ...when, limit: '100', ...(sum && { metric: sum }) };
}

export interface ValueRow {
  value: string;
  /** Events, or what they add to the metric. */
  amount: number;
  /** The row of the events that have no value. */
  isNone: boolean;
}

export interface Values {
  rows: readonly ValueRow[];
  /** Of everything: the rows are shares of it. */
  total: number;
}

export function parseValues(body: unknown, total?: number): Values {
  const rows = objects(body).map((entry) => ({
    value: string(entry.value, ''),
    amount: numberOrNull(entry.sum) ?? number(entry.count),
    isNone: entry.none === true,
  }));
  return { rows, total: total ?? rows.reduce((sum, { amount }) => sum + amount, 0) };
}

/** The types of events that there were today. */
export const parseTypes = (body: unknown): readonly string[] =>
  isObject(body) && isObject(body.counts) ? Object.keys(body.counts).sort() : [];

/** The sums of both series over the buckets that both know; null where it is no number that adds up. */
export function sumsOf(series: readonly Bucketed[], other: readonly (number | null)[] | null) {
  const known = series.map(({ value }, index) => ({ value, other: other?.[index] ?? null }));
  const both = known.filter((pair) => pair.value !== null && pair.other !== null);
  const add = (values: (number | null)[]) => values.reduce<number>((sum, value) => sum + (value ?? 0), 0);
  return {
    all: add(known.map(({ value }) => value)),
    same: add(both.map(({ value }) => value)),
    other: both.length > 0 ? add(both.map((pair) => pair.other)) : null,
  };
}
