// Alerts, from GET /api/analytics/alerts into words that a shop's owner understands.
//
// The numbers of an alert are those of the moment it fired, so the words give the width of the
// window and not "the last minute", which would be untrue a minute later.

import { age, clockMinute, count, dayShort, lasted, money, percentShort, plainNumber } from '../format';
import { isObject, number, numberOrNull, objects, string } from '../json';
import { toMoneyUnits } from '../stream/frames';
import { nameInWords, toUnit, type Unit } from './metrics';

export type Severity = 'critical' | 'warning' | 'info';

export interface Explanation {
  property: string;
  value: string;
  /** Of what came more, or less, than before: 0 to 1. */
  share: number;
  /** Type of the events that are meant; empty where the server doesn't say. */
  event: string;
}

export interface Alert {
  /** The same as long as it is the same firing. */
  id: string;
  name: string;
  title: string;
  severity: Severity;
  metric: string;
  unit: Unit | null;
  /** Unix milliseconds. */
  since: number;
  /** When it was over; null while it fires, or where that isn't known. */
  clearedAt: number | null;
  windowSeconds: number | null;
  value: number;
  threshold: number;
  /** What the value usually is; null where the rule doesn't ask. */
  baseline: number | null;
  explains: readonly Explanation[];
}

export interface Alerts {
  /** The most severe first; of one severity, the one that fires longest. */
  firing: readonly Alert[];
  /** Those that are over, the last first. */
  history: readonly Alert[];
}

export const NO_ALERTS: Alerts = { firing: [], history: [] };

/** Of the history. More is no longer quiet. */
const HISTORY_SHOWN = 8;

const SEVERITIES: readonly Severity[] = ['critical', 'warning', 'info'];

/** A severity this page doesn't know is taken for a serious one: better told than hidden. */
const toSeverity = (value: unknown): Severity => SEVERITIES.find((known) => known === value) ?? 'warning';

function toAlert(entry: Record<string, unknown>): Alert {
  const name = string(entry.name, 'alert');
  const since = number(entry.since);
  return {
    id: string(entry.id, `${name} ${since}`),
    name,
    title: string(entry.title, nameInWords(name)),
    severity: toSeverity(entry.severity),
    metric: string(entry.metric, ''),
    unit: typeof entry.unit === 'string' ? toUnit(entry.unit) : null,
    since,
    clearedAt: numberOrNull(entry.clearedAt),
    windowSeconds: numberOrNull(entry.windowSeconds),
    value: number(entry.value),
    threshold: number(entry.threshold),
    baseline: numberOrNull(entry.baseline),
    explains: objects(entry.explains)
      .map((explains) => ({
        property: string(explains.property, ''),
        value: string(explains.value, ''),
        share: number(explains.share),
        event: string(explains.event, ''),
      }))
      .filter(({ property }) => property !== ''),
  };
}

const rank = ({ severity }: Alert): number => SEVERITIES.indexOf(severity);

export const parseFiring = (entries: readonly Record<string, unknown>[]): readonly Alert[] =>
  entries.map(toAlert).sort((a, b) => rank(a) - rank(b) || a.since - b.since);

export function parseAlerts(body: unknown): Alerts {
  if (!isObject(body)) return NO_ALERTS;
  const history = objects(body.history).map(toAlert);
  return {
    firing: parseFiring(objects(body.firing)),
    history: history.sort((a, b) => b.since - a.since).slice(0, HISTORY_SHOWN),
  };
}

/** What a metric's value says, as the end of "31% …" or "12 …". */
const SAYS: Readonly<Record<string, string>> = {
  checkout_error_rate: 'of orders failed',
  error_rate: 'of all events were errors',
  conversion: 'of visits ended in an order',
  purchases: 'orders',
  page_views: 'page views',
  errors: 'errors',
  checkout_errors: 'errors in the checkout',
  signups: 'signups',
  sessions: 'visits',
  revenue: 'of revenue',
  net_revenue: 'of revenue less refunds',
  refunds: 'of refunds',
  average_order_value: 'an order on average',
};

function amount(value: number, unit: Unit | null, currency: string): string {
  switch (unit) {
    case 'ratio':
      return percentShort(value);
    case 'money':
      return money(toMoneyUnits(Math.round(value * 100) / 100), currency);
    case 'count':
      return count(Math.round(value));
    default:
      return plainNumber(value);
  }
}

/** 30 as "30 seconds", 60 as "a minute", 900 as "15 minutes". */
function width(seconds: number): string {
  if (seconds % 60 !== 0) return `${seconds} seconds`;
  return seconds === 60 ? 'a minute' : `${seconds / 60} minutes`;
}

/** Units of metrics, for a server that doesn't put them into the alert. */
export type UnitOf = (metric: string) => Unit | null;

/** "31% of orders failed within a minute, usually 4%." */
export function whatHappened(alert: Alert, currency: string, unitOf: UnitOf = () => null): string {
  const unit = alert.unit ?? unitOf(alert.metric);
  const text = (value: number) => amount(value, unit, currency);
  const says = SAYS[alert.metric];
  const what = says
    ? `${text(alert.value)} ${says}`
    : `${nameInWords(alert.metric || alert.name)}: ${text(alert.value)}`;
  const within = alert.windowSeconds === null ? '' : ` within ${width(alert.windowSeconds)}`;
  const usual = alert.baseline === null ? `limit ${text(alert.threshold)}` : `usually ${text(alert.baseline)}`;
  return `${what}${within}, ${usual}.`;
}

const NOUNS: Readonly<Record<string, string>> = { error: 'errors', purchase: 'orders', page_view: 'page views' };

/** "gateway=adyen: 94% of the new errors." Empty where nothing explains it. */
export function whatExplains({ explains, value, baseline, threshold }: Alert): string {
  const isFall = value < (baseline ?? threshold);
  return explains
    .map(({ property, value: which, share, event }) => {
      const noun = NOUNS[event] ?? (event ? `${event} events` : 'change');
      const kind = event ? (isFall ? 'missing ' : 'new ') : '';
      return `${property}=${which}: ${percentShort(share)} of the ${kind}${noun}.`;
    })
    .join(' ');
}

/** "Since 14:02, 3 min" */
export const sinceWhen = ({ since }: Alert, now: number, timezone: string): string =>
  `Since ${clockMinute(since, timezone)}, ${age(now - since)}`;

/** "14:02, for 12 min"; with its day, "Nov 26, 14:02, for 12 min", where that is not today. */
export function whenItWas({ since, clearedAt }: Alert, now: number, timezone: string): string {
  const day = dayShort(since, timezone);
  const parts = [day === dayShort(now, timezone) ? '' : day, clockMinute(since, timezone)];
  if (clearedAt !== null) parts.push(`for ${lasted(clearedAt - since)}`);
  return parts.filter(Boolean).join(', ');
}

/** For a screen reader: all that fires, without ages, so that it changes only when something does. */
export const spoken = ({ firing }: Alerts, currency: string, unitOf?: UnitOf): string =>
  firing
    .map((alert) => `${alert.title}: ${whatHappened(alert, currency, unitOf)} ${whatExplains(alert)}`.trim())
    .join(' ');

/** For the window's title: "Checkout errors + 1 more". What is only worth knowing isn't shouted. */
export function titleWarning({ firing }: Alerts): string {
  const [first, ...rest] = firing.filter(({ severity }) => severity !== 'info');
  if (!first) return '';
  return rest.length === 0 ? `⚠ ${first.title}` : `⚠ ${first.title} + ${rest.length} more`;
}
