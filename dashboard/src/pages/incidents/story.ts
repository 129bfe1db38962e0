// What an incident was, as its page tells it: the span to look at, the events that are meant, and the questions
// that are asked of it. Nothing here draws.

import type { Alert, Cause } from '../../questions/alerts';
import type { Parameters } from '../../questions/question';

const MINUTE_MS = 60_000;

/** What is drawn before the beginning and after the end. */
const AROUND_MS = 30 * MINUTE_MS;
/** The longest span that is drawn by minute. */
const BY_MINUTE_MS = 12 * 60 * MINUTE_MS;

export interface Stretch {
  from: number;
  to: number;
}

/** When it was bad. An alert that fires is bad until now. */
export function badStretch({ since, clearedAt, breachedUntil, windowSeconds }: Alert, now: number): Stretch {
  const window = (windowSeconds ?? 60) * 1000;
  const end = breachedUntil ?? clearedAt ?? now;
  return { from: since - window, to: Math.max(end, since) };
}

/** What the chart shows, in whole minutes, and how finely. */
export function drawnStretch(alert: Alert, now: number): Stretch & { interval: '1m' | '15m' } {
  const bad = badStretch(alert, now);
  const end = Math.min(Math.max(bad.to, alert.clearedAt ?? now) + AROUND_MS, now);
  const long = end - bad.from > BY_MINUTE_MS;
  const step = long ? 15 * MINUTE_MS : MINUTE_MS;
  const from = Math.floor((bad.from - AROUND_MS) / step) * step;
  return { from, to: Math.ceil(end / step) * step, interval: long ? '15m' : '1m' };
}

/** The types of events that say who met it. Of a fall it is those that did not come, so there is nobody to name. */
const TYPE_OF: Readonly<Record<string, string>> = {
  errors: 'error',
  error_rate: 'error',
  checkout_errors: 'error',
  checkout_error_rate: 'error',
  page_views: 'page_view',
  purchases: 'purchase',
  signups: 'signup',
};

export const isFall = ({ value, baseline, threshold }: Alert): boolean => value < (baseline ?? threshold);

function typeOf({ explains, metric }: Alert): string | null {
  const explained = explains.find(({ event }) => event !== '')?.event;
  return explained ?? (Object.hasOwn(TYPE_OF, metric) ? TYPE_OF[metric]! : null);
}

/** Values that a test of `where` would read as something else than themselves. */
const IS_A_TEST = /^[!<>=~]|[*|,]/;

/** The filter of events by what accounts for the incident most, where that can be said. */
function filterOf(alert: Alert, causes: readonly Cause[]): Parameters {
  const first = causes[0]?.where ?? null;
  const explained = alert.explains[0];
  const where = first ?? (explained ? { [explained.property]: explained.value } : {});
  const plain = Object.entries(where).filter(([, value]) => value !== '' && !IS_A_TEST.test(value));
  return Object.fromEntries(plain.map(([property, value]) => [`where.${property}`, value]));
}

/** The events that were part of it. */
export function eventsOf(alert: Alert, causes: readonly Cause[], now: number): Parameters {
  const { from, to } = badStretch(alert, now);
  const type = typeOf(alert);
  return { ...(type && { type }), ...filterOf(alert, causes), from: String(from), to: String(to) };
}
