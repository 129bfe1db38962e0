// Spans of time as the address names them, and as the server is asked for them.
//
//   ?range=24h                          the last 24 hours
//   ?range=yesterday                    a day of the shop
//   ?from=2026-11-27T09:00Z&to=…        any other; the server reads what stands there

import type { Parameters } from '../../questions/question';
import { momentOf } from '../../router/address';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

export interface Span {
  /** As in `range`; empty for one with ends of its own. */
  range: string;
  from: string | null;
  to: string | null;
}

interface Range {
  words: string;
  /** For the window of a chart, where it is said otherwise. */
  window?: string;
  hours: number;
  /** The first of the shop's days, and how many days end before today; none for a span that ends now. */
  days?: { back: number; until: number | null };
}

export const RANGES: Readonly<Record<string, Range>> = {
  '1h': { words: 'Last hour', hours: 1 },
  '6h': { words: 'Last 6 hours', hours: 6 },
  '24h': { words: 'Last 24 hours', hours: 24 },
  today: { words: 'Today', hours: 24, days: { back: 0, until: null } },
  yesterday: { words: 'Yesterday', hours: 24, days: { back: 1, until: 1 } },
  '7d': { words: 'Last 7 days', window: 'last 7 days, with today', hours: 7 * 24, days: { back: 6, until: null } },
  '30d': { words: 'Last 30 days', window: 'last 30 days, with today', hours: 30 * 24, days: { back: 29, until: null } },
  '90d': { words: 'Last 90 days', window: 'last 90 days, with today', hours: 90 * 24, days: { back: 89, until: null } },
  '365d': {
    words: 'Last 365 days',
    window: 'last 365 days, with today',
    hours: 8_760,
    days: { back: 364, until: null },
  },
};

const DEFAULT_RANGE = '24h';

export function readSpan(query: URLSearchParams): Span {
  const [from, to] = [query.get('from'), query.get('to')];
  if (from) return { range: '', from, to };
  const range = query.get('range') ?? '';
  return { range: Object.hasOwn(RANGES, range) ? range : DEFAULT_RANGE, from: null, to: null };
}

/** The day so many days before `day` (YYYY-MM-DD). */
export function dayBefore(day: string, days: number): string {
  return new Date(Date.parse(`${day}T00:00:00Z`) - days * DAY_MS).toISOString().slice(0, 10);
}

/** The parameters of the span. `day` is the shop's today. */
export function spanParameters({ range, from, to }: Span, day: string): Parameters {
  if (from) return { from, ...(to && { to }) };
  const { hours, days } = RANGES[range]!;
  if (!days) return { hours: String(hours) };
  const until = days.until === null ? {} : { to: dayBefore(day, days.until) };
  return { from: dayBefore(day, days.back), ...until };
}

/** About how long the span is. Where its ends can't be read, the server says what is wrong with them. */
export function hoursOf({ range, from, to }: Span, now: number): number {
  if (!from) return RANGES[range]!.hours;
  const start = momentOf(from) ?? now - DAY_MS;
  // A date stands for the end of its day.
  const end = to === null ? now : (momentOf(to) ?? now) + (/^\d{4}-\d\d-\d\d$/.test(to) ? DAY_MS : 0);
  return Math.max(1 / 60, (end - start) / HOUR_MS);
}

export interface Interval {
  name: string;
  words: string;
  ms: number;
}

const INTERVALS: readonly Interval[] = [
  { name: '1m', words: 'minute', ms: 60_000 },
  { name: '5m', words: '5 minutes', ms: 300_000 },
  { name: '15m', words: '15 minutes', ms: 900_000 },
  { name: '1h', words: 'hour', ms: HOUR_MS },
  { name: '1d', words: 'day', ms: DAY_MS },
  { name: '1w', words: 'week', ms: 7 * DAY_MS },
  { name: '1mo', words: 'month', ms: 30 * DAY_MS },
];

/** As many bars as a chart has room for. */
const MOST_BARS = 1_500;
/** As many as it is best read with. */
const GOOD_BARS = 190;
/** What is counted by different values is not known by less. */
const FINEST_BY_DAY_MS = 900_000;

/** The intervals that a span can be drawn in. */
export function intervalsFor(hours: number, byDayOnly: boolean): readonly Interval[] {
  const span = hours * HOUR_MS;
  const fitting = INTERVALS.filter(({ ms }) => span / ms <= MOST_BARS && ms <= span * 1.01);
  const known = fitting.filter(({ ms }) => !byDayOnly || ms >= FINEST_BY_DAY_MS);
  return known.length > 0 ? known : [INTERVALS[byDayOnly ? 2 : 0]!];
}

/** The interval that was chosen, where it fits; else the one in which the span is best read. */
export function intervalFor(chosen: string | null, hours: number, byDayOnly: boolean): Interval {
  const possible = intervalsFor(hours, byDayOnly);
  const wanted = possible.find(({ name }) => name === chosen);
  return wanted ?? possible.find(({ ms }) => (hours * HOUR_MS) / ms <= GOOD_BARS) ?? possible.at(-1)!;
}

/** The span in words: "last 24 hours", "today". */
export function spanWords({ range }: Span, ends: string): string {
  const known = RANGES[range];
  return known ? (known.window ?? known.words.toLowerCase()) : ends;
}
