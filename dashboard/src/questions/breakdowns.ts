// Breakdowns: the most frequent values of a property, and how they changed against as many minutes before.
// GET /api/analytics/breakdowns says it of all breakdowns of the configuration at once.

import { isObject, number, objects, string } from '../json';
import { MINUTE_MS } from '../stream/series';
import { nameInWords, type BreakdownName } from './metrics';

export const BREAKDOWN_MINUTES = 15;

/** As many as the server keeps exact, so that shares are of all and few values miss their past. */
export const BREAKDOWN_LIMIT = 100;

/** How many values of a breakdown are drawn until somebody asks for all. */
export const SHOWN = 5;

/** The fewest events, of both spans together, that are compared. A change among fewer is mostly chance. */
const LEAST_TO_COMPARE = 20;

export interface ValueCount {
  value: string;
  count: number;
  /** In as many minutes before. */
  before: number;
}

export interface Bar extends ValueCount {
  /** The share of all events that have this property, 0 to 1. */
  share: number;
  /** The bar's length against the largest value's, 0 to 1. Drawn by share, many small values would have no bar. */
  length: number;
  /** Against the 15 minutes before: 0.5 is half as much again. Null where it can't be told. */
  change: number | 'new' | null;
}

export interface Breakdown extends BreakdownName {
  /** All values that are known, the largest first. */
  bars: readonly Bar[];
}

export const parseBreakdowns = (body: unknown, now: number): Breakdown[] =>
  (isObject(body) ? objects(body.breakdowns) : [])
    .map((entry) => {
      const name = { type: string(entry.type, ''), property: string(entry.property, '') };
      const values = objects(entry.values).map((value) => ({
        value: string(value.value, ''),
        count: number(value.count),
        before: number(value.before),
      }));
      return compare(name, values, now);
    })
    .filter(({ type, property }) => type !== '' && property !== '');

/** How much of the 15 minutes has passed, 0 to 1. The minute in progress is one of them. */
export const passedShare = (now: number): number =>
  ((BREAKDOWN_MINUTES - 1) * MINUTE_MS + (((now % MINUTE_MS) + MINUTE_MS) % MINUTE_MS)) /
  (BREAKDOWN_MINUTES * MINUTE_MS);

function changeOf(counted: number, before: number, passed: number): number | 'new' | null {
  if (counted + before < LEAST_TO_COMPARE) return null;
  return before === 0 ? 'new' : counted / (before * passed) - 1;
}

/**
 * @param recent the last 15 minutes, the largest first
 */
export function compare(name: BreakdownName, recent: readonly ValueCount[], now: number): Breakdown {
  const sum = recent.reduce((total, { count }) => total + count, 0);
  // A server that started less than 30 minutes ago has nothing to compare with. Not everything is new then.
  const hasPast = recent.some(({ before }) => before > 0);
  return {
    ...name,
    bars: recent.map((entry) => ({
      ...entry,
      share: sum === 0 ? 0 : entry.count / sum,
      length: entry.count / Math.max(1, recent[0]?.count ?? 0),
      change: hasPast ? changeOf(entry.count, entry.before, passedShare(now)) : null,
    })),
  };
}

/** A value as it is shown: one without a visible character would be a row without a name. */
export const valueInWords = (value: string): { text: string; isNamed: boolean } =>
  value === ''
    ? { text: '(empty)', isNamed: false }
    : /[^\s\p{C}]/u.test(value)
      ? { text: value, isNamed: true }
      : { text: '(blank)', isNamed: false };

// These are maps, since a type may be called `constructor`, which every object has.
const TITLES: ReadonlyMap<string, string> = new Map([
  ['error', 'What breaks'],
  ['purchase', 'What sells'],
  ['page_view', 'What is read'],
]);

const NOUNS: ReadonlyMap<string, string> = new Map([
  ['error', 'Errors'],
  ['purchase', 'Orders'],
  ['page_view', 'Page views'],
]);

export interface BreakdownGroup {
  type: string;
  title: string;
  breakdowns: readonly Breakdown[];
}

/** By event type, in the order errors, orders, page views, then what the configuration adds. */
export function grouped(breakdowns: readonly Breakdown[]): BreakdownGroup[] {
  const types = [...new Set([...TITLES.keys(), ...breakdowns.map(({ type }) => type)])];
  return types
    .map((type) => ({
      type,
      title: TITLES.get(type) ?? nameInWords(type),
      breakdowns: breakdowns.filter((breakdown) => breakdown.type === type),
    }))
    .filter((group) => group.breakdowns.length > 0);
}

/** "Errors by gateway" */
export const breakdownTitle = ({ type, property }: BreakdownName): string =>
  `${NOUNS.get(type) ?? nameInWords(type)} by ${nameInWords(property).toLowerCase()}`;
