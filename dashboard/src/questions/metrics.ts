// Business metrics of the configuration: which there are, their unit, and their values of today. Several
// panels show metrics, so the two questions stand here.

import { count, money, percent, plainNumber } from '../format';
import { isObject, numberOrNull, objects, string, strings } from '../json';
import { toMoneyUnits } from '../stream/frames';
import { oneRequest } from './question';

export type Unit = 'count' | 'number' | 'money' | 'ratio';

export interface Metric {
  name: string;
  unit: Unit;
  /** It counts different values, which can't be added up from one bucket to the next. */
  byDayOnly: boolean;
}

export interface BreakdownName {
  type: string;
  property: string;
}

export interface DeclaredBreakdown extends BreakdownName {
  /** Metrics that are summed by its values. */
  sums: readonly string[];
}

/** What GET /api/analytics/metrics says. */
export interface Catalogue {
  metrics: readonly Metric[];
  breakdowns: readonly DeclaredBreakdown[];
}

/** The unit of the metric of this name; null where the catalogue doesn't have it. */
export const unitIn =
  ({ metrics }: Catalogue) =>
  (metric: string): Unit | null =>
    metrics.find(({ name }) => name === metric)?.unit ?? null;

/** Today's values by name; null where a ratio divides by nothing. */
export type MetricValues = Readonly<Record<string, number | null>>;

export const toUnit = (value: unknown): Unit =>
  value === 'count' || value === 'money' || value === 'ratio' ? value : 'number';

export function parseCatalogue(body: unknown): Catalogue {
  if (!isObject(body)) return { metrics: [], breakdowns: [] };
  return {
    metrics: objects(body.metrics)
      .map((entry) => ({
        name: string(entry.name, ''),
        unit: toUnit(entry.unit),
        byDayOnly: entry.byDayOnly === true,
      }))
      .filter(({ name }) => name !== ''),
    breakdowns: objects(body.breakdowns)
      .map((entry) => ({
        type: string(entry.type, ''),
        property: string(entry.property, ''),
        sums: strings(entry.sums),
      }))
      .filter(({ type, property }) => type !== '' && property !== ''),
  };
}

/** What GET /api/analytics/current says of metrics. */
export interface TodaysMetrics {
  values: MetricValues;
  /** By name, how many events a metric leaves out, as they can't be added up. It names no others. */
  leftOut: Readonly<Record<string, number>>;
}

export function parseTodaysMetrics(body: unknown): TodaysMetrics {
  const numbers = (field: unknown) =>
    isObject(field) ? Object.entries(field).map(([name, value]) => [name, numberOrNull(value)] as const) : [];
  if (!isObject(body)) return { values: {}, leftOut: {} };
  return {
    values: Object.fromEntries(numbers(body.metrics)),
    leftOut: Object.fromEntries(numbers(body.leftOut).map(([name, events]) => [name, events ?? 0])),
  };
}

/** Asked rarely, since it changes only with the server's configuration. */
export const catalogueQuestion = oneRequest<Catalogue>({
  path: 'metrics',
  everyMs: 60_000,
  initially: { metrics: [], breakdowns: [] },
  parse: parseCatalogue,
});

export const metricValuesQuestion = oneRequest<TodaysMetrics>({
  path: 'current',
  everyMs: 3_000,
  atMoment: (moment) => ({ path: 'at', parameters: { time: String(moment) } }),
  initially: { values: {}, leftOut: {} },
  parse: parseTodaysMetrics,
});

/** A value as people read it. */
export function valueText(value: number, unit: Unit, currency: string): string {
  switch (unit) {
    case 'count':
      return count(value);
    case 'money':
      return money(toMoneyUnits(value), currency);
    case 'ratio':
      return percent(value);
    case 'number':
      return plainNumber(value);
  }
}

/** How many events a metric leaves out, as an addition to its window; nothing where there are none. */
export const leftOutText = (events: number | undefined): string =>
  events === undefined || events === 0 ? '' : `, ${count(events)} left out`;

/** `newsletter_signups` as "Newsletter signups". */
export function nameInWords(name: string): string {
  const words = name.replace(/[_.:-]+/g, ' ').trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}
