// Alerts in words that a shop's owner understands.
//
// The numbers of an alert are those of the moment it fired, so the words give the width of the
// window and not "the last minute", which would be untrue a minute later.

import { age, clockMinute, count, dayShort, lasted, money, percentShort, plainNumber } from '../format';
import { toMoneyUnits } from '../stream/frames';
import type { Alert, Alerts } from './alerts';
import { nameInWords, type Unit } from './metrics';

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

/** A value of a metric, as a sentence says it. */
export function amount(value: number, unit: Unit | null, currency: string): string {
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

/** "31% of orders failed within a minute, usually 4%." Or "Revenue: hidden." */
export function whatHappened(alert: Alert, currency: string, unitOf: UnitOf = () => null): string {
  if (alert.isHidden) return `${nameInWords(alert.metric || alert.name)}: hidden.`;
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

const NOUNS: ReadonlyMap<string, string> = new Map([
  ['error', 'errors'],
  ['purchase', 'orders'],
  ['page_view', 'page views'],
]);

/** "gateway=adyen: 94% of the new errors." Empty where nothing explains it. */
export function whatExplains({ explains, value, baseline, threshold }: Alert): string {
  const isFall = value < (baseline ?? threshold);
  return explains
    .map(({ property, value: which, share, event }) => {
      const noun = NOUNS.get(event) ?? (event ? `${event} events` : 'change');
      const kind = event ? (isFall ? 'missing ' : 'new ') : '';
      return `${property}=${which}: ${percentShort(share)} of the ${kind}${noun}.`;
    })
    .join(' ');
}

/** "Since 14:02, 3 min" */
export const sinceWhen = ({ since }: Alert, now: number, timezone: string): string =>
  `Since ${clockMinute(since, timezone)}, ${age(now - since)}`;

/** An alert is over at most so long after it was last seen to be bad, unless nothing came that says so. */
const KNOWN_WITHIN_MS = 5 * 60_000;

/**
 * "14:02, for 12 min"; with its day, "Nov 26, 14:02, for 12 min", where that is not today. Where the shop went
 * silent, "14:02, for 40 s, known to be over at 14:20".
 */
export function whenItWas({ since, clearedAt, breachedUntil }: Alert, now: number, timezone: string): string {
  const day = dayShort(since, timezone);
  const parts = [day === dayShort(now, timezone) ? '' : day, clockMinute(since, timezone)];
  if (clearedAt !== null) parts.push(`for ${lasted((breachedUntil ?? clearedAt) - since)}`);
  if (clearedAt !== null && breachedUntil !== null && clearedAt - breachedUntil > KNOWN_WITHIN_MS)
    parts.push(`known to be over at ${clockMinute(clearedAt, timezone)}`);
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
