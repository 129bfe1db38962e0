// What the page asks over HTTP beside the stream, read with care: fields that are missing or of
// another kind get a plain default, so that an older or newer server breaks nothing.

export interface Explanation {
  property: string;
  value: string;
  /** Of what is new since the alert began, 0 to 1. */
  share: number;
}

export type Severity = 'info' | 'warning' | 'critical';

export interface Alert {
  name: string;
  title: string;
  severity: Severity;
  /** Unix milliseconds. */
  since: number;
  /** When it was over; null while it fires. */
  until: number | null;
  metric: string;
  value: number | null;
  threshold: number | null;
  baseline: number | null;
  /** What the metric's values are. */
  unit: Unit;
  /** The metric is taken over so long; 0 where that is not told. */
  windowSeconds: number;
  explains: Explanation[];
}

export interface Alerts {
  firing: Alert[];
  history: Alert[];
}

export type Unit = 'count' | 'number' | 'money' | 'ratio';

export interface MetricInfo {
  name: string;
  unit: Unit;
}

export interface BreakdownInfo {
  type: string;
  property: string;
}

export interface Catalogue {
  metrics: MetricInfo[];
  breakdowns: BreakdownInfo[];
}

/** Today's value by metric; null where it has none. */
export type MetricValues = Readonly<Record<string, number | null>>;

export interface ValueCount {
  value: string;
  count: number;
}

type Json = Record<string, unknown>;

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const numberOr = <T>(value: unknown, fallback: T): number | T =>
  typeof value === 'number' && Number.isFinite(value) ? value : fallback;

const text = (value: unknown, fallback = ''): string => (typeof value === 'string' ? value : fallback);

const objects = (value: unknown): Json[] => (Array.isArray(value) ? value.filter(isObject) : []);

const UNITS: readonly Unit[] = ['count', 'number', 'money', 'ratio'];

const toUnit = (value: unknown): Unit => UNITS.find((known) => known === value) ?? 'count';

const SEVERITIES: readonly Severity[] = ['critical', 'warning', 'info'];

function toAlert(json: Json): Alert {
  const name = text(json.name, 'alert');
  const severity = SEVERITIES.find((known) => known === json.severity) ?? 'warning';
  return {
    name,
    title: text(json.title, name.replaceAll('_', ' ')),
    severity,
    since: numberOr(json.since, 0),
    until: numberOr(json.clearedAt, null),
    metric: text(json.metric),
    value: numberOr(json.value, null),
    threshold: numberOr(json.threshold, null),
    baseline: numberOr(json.baseline, null),
    unit: toUnit(json.unit),
    windowSeconds: numberOr(json.windowSeconds, 0),
    explains: objects(json.explains).map((it) => ({
      property: text(it.property),
      value: text(it.value),
      share: numberOr(it.share, 0),
    })),
  };
}

/** Most severe first, the longest among these first. */
export function toAlerts(json: unknown): Alerts {
  if (!isObject(json)) return { firing: [], history: [] };
  const rank = (alert: Alert) => SEVERITIES.indexOf(alert.severity);
  const firing = objects(json.firing).map(toAlert);
  firing.sort((a, b) => rank(a) - rank(b) || a.since - b.since);
  return { firing, history: objects(json.history).map(toAlert) };
}

export function toCatalogue(json: unknown): Catalogue {
  if (!isObject(json)) return { metrics: [], breakdowns: [] };
  return {
    metrics: objects(json.metrics).map((it) => ({
      name: text(it.name),
      unit: toUnit(it.unit),
    })),
    breakdowns: objects(json.breakdowns).map((it) => ({ type: text(it.type), property: text(it.property) })),
  };
}

export function toMetricValues(json: unknown): MetricValues {
  const metrics = isObject(json) && isObject(json.metrics) ? json.metrics : {};
  return Object.fromEntries(Object.entries(metrics).map(([name, value]) => [name, numberOr(value, null)]));
}

export const toValueCounts = (json: unknown): ValueCount[] =>
  objects(json).map((it) => ({ value: text(it.value), count: numberOr(it.count, 0) }));

/** By the start of its bucket, Unix milliseconds; what is not known is left out. */
export function toPoints(json: unknown): Map<number, number> {
  const points = new Map<number, number>();
  for (const { timestamp, count } of objects(json)) {
    if (typeof timestamp === 'number' && typeof count === 'number') points.set(timestamp, count);
  }
  return points;
}
