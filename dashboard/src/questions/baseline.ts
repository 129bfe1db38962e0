// Another day, which today is held against: its hour is drawn behind this one, and its revenue up to the same
// moment is said. The choice of the day is remembered by this browser.

import { isObject, number, numberOrNull, objects, string } from '../json';
import { recall, remember } from '../storage';
import type { Answer } from './ask';
import { catalogueQuestion, unitIn } from './metrics';
import { lastHour, oneRequest, type Parameters, type Question } from './question';

/** What the day is called by the server: `yesterday`, `last_week`, or the name of an occasion. */
export type Baseline = string;

export interface BaselineChoice {
  name: Baseline;
  /** In a sentence: "yesterday", "Black Friday 2025". */
  words: string;
}

const ORDINARY: readonly BaselineChoice[] = [
  { name: 'yesterday', words: 'yesterday' },
  { name: 'last_week', words: 'last week' },
];

/** Occasions that are offered, the latest ones. */
const OCCASIONS_SHOWN = 3;

const KEY = 'floodmark.baseline';

export const chosenBaseline = (): Baseline => recall(KEY) ?? 'yesterday';
export const rememberBaseline = (baseline: Baseline): void => remember(KEY, baseline);

export interface Occasion extends BaselineChoice {
  /** Its end, Unix milliseconds. */
  end: number;
}

export const parseOccasions = (body: unknown): Occasion[] =>
  objects(body)
    .map(({ name, title, end }) => ({
      name: string(name, ''),
      words: string(title, string(name, '')),
      end: number(end),
    }))
    .filter(({ name }) => name !== '');

export const occasionsQuestion = oneRequest<readonly Occasion[]>({
  path: 'occasions',
  everyMs: 300_000,
  initially: [],
  parse: parseOccasions,
  whenUnknown: [],
});

/** What can be chosen at a moment: the ordinary days, and the latest occasions that are over. */
export function choicesAt(occasions: readonly Occasion[], now: number): readonly BaselineChoice[] {
  const over = occasions.filter(({ end }) => end <= now).sort((a, b) => b.end - a.end);
  return [...ORDINARY, ...over.slice(0, OCCASIONS_SHOWN)];
}

/** A day in words, also one that is offered no more. */
export const wordsOf = (baseline: Baseline, choices: readonly BaselineChoice[]): string =>
  choices.find(({ name }) => name === baseline)?.words ?? baseline.replaceAll('_', ' ');

/** A time series by the start of its bucket; null where it is not known. */
export type PointsByTime = ReadonlyMap<number, number | null>;

export const parsePoints = (body: unknown): PointsByTime =>
  new Map(objects(body).map((entry) => [number(entry.timestamp), numberOrNull(entry.count)]));

/** The series of one metric, of an answer that may have several. */
export function pointsOf(body: unknown, metric: string): PointsByTime {
  if (!isObject(body) || !isObject(body.metrics)) return parsePoints(body);
  const entries = objects(body.metrics[metric]);
  return new Map(entries.map((entry) => [number(entry.timestamp), numberOrNull(entry.value)]));
}

/** The series at these moments, null where it is not known. */
export const pointsAt = (points: PointsByTime | null, times: readonly number[]): (number | null)[] =>
  times.map((time) => points?.get(time) ?? null);

/** The metrics whose last hour is drawn. All of them are one request. */
const BY_MINUTE = { pageViews: 'page_views', errors: 'errors', purchases: 'purchases', revenue: 'revenue' } as const;
const NAMES = Object.keys(BY_MINUTE) as (keyof typeof BY_MINUTE)[];

/** `revenueToday` has one value: the other day up to the moment that it is now. */
type Asked = keyof typeof BY_MINUTE | 'revenueToday';

export interface OtherDay {
  baseline: Baseline;
  /** Null until the first answer, and where the server has none to give. */
  points: Readonly<Record<Asked, PointsByTime | null>>;
  /** The server has answered, whatever it said. */
  isAnswered: boolean;
}

const NOTHING: OtherDay['points'] = {
  pageViews: null,
  errors: null,
  purchases: null,
  revenue: null,
  revenueToday: null,
};

export const unanswered = (baseline: Baseline): OtherDay => ({ baseline, points: NOTHING, isAnswered: false });

/** The revenue of the other day up to the moment that it is now; null where it is not known. */
export const revenueThen = ({ points }: OtherDay): number | null =>
  [...(points.revenueToday?.values() ?? [])].at(-1) ?? null;

/** Where one of the requests fails, its last answer stays. */
export const otherDayQuestion: Question<OtherDay> = {
  initially: () => unanswered(chosenBaseline()),
  // Less than a minute, so that the newest minute of the other day is not missing for long.
  everyMs: 10_000,
  isOfMoment: true,
  // Metrics that the configuration does not have, or that this viewer may not see, are not asked for.
  needs: catalogueQuestion,
  async round({ ask, known, answerTo, moment }) {
    const { baseline } = known();
    const isMetric = unitIn(answerTo(catalogueQuestion));
    const metrics = NAMES.map((name) => BY_MINUTE[name]).filter((metric) => isMetric(metric) !== null);
    const at = moment();
    const asked = (parameters: Parameters) => ask('timeseries', { ...parameters, baseline });
    const [hour, today] = await Promise.all([
      metrics.length > 0 ? asked({ metric: metrics.join(','), ...lastHour(at) }) : NOT_ASKED,
      isMetric('revenue') !== null ? revenueUpTo(at, asked) : NOT_ASKED,
    ]);
    const before = known();
    const points = (answer: Answer, metric: string, last: PointsByTime | null) =>
      answer.kind === 'ok' ? pointsOf(answer.body, metric) : answer.kind === 'unknown' ? null : last;
    const pairs = NAMES.map((name) => [name, points(hour, BY_MINUTE[name], before.points[name])] as const);
    const revenueToday = points(today, 'revenue', before.points.revenueToday);
    const isAnswered = before.isAnswered || [hour, today].some(({ kind }) => kind !== 'failed');
    return { baseline, points: { ...NOTHING, ...Object.fromEntries(pairs), revenueToday }, isAnswered };
  },
};

const QUARTER_MS = 900_000;

/**
 * The other day's revenue up to the same moment, as a series whose last value it is. Of now the server says it in
 * one. Of a moment of the past it is added up: full quarters of an hour of the day, and the minutes since the last.
 * Days are those of the business zone, which the server knows: `hours` reaches back to a day's beginning at most.
 */
async function revenueUpTo(at: number | null, asked: (parameters: Parameters) => Promise<Answer>): Promise<Answer> {
  if (at === null) return asked({ metric: 'revenue', interval: '1d', hours: '1' });
  const quarter = Math.floor(at / QUARTER_MS) * QUARTER_MS;
  const day = await asked({ metric: 'revenue', interval: '1d', from: String(at), to: String(at + 1) });
  const [dayStart] = day.kind === 'ok' ? parsePoints(day.body).keys() : [];
  if (dayStart === undefined) return day;
  const parts = await Promise.all([
    quarter > dayStart
      ? asked({ metric: 'revenue', interval: '15m', from: String(dayStart), to: String(quarter) })
      : { kind: 'ok' as const, body: [] },
    at - quarter >= 60_000
      ? asked({ metric: 'revenue', from: String(Math.max(quarter, dayStart)), to: String(at - (at % 60_000)) })
      : { kind: 'ok' as const, body: [] },
  ]);
  const failed = parts.find(({ kind }) => kind !== 'ok');
  if (failed) return failed;
  const values = parts.flatMap((part) => (part.kind === 'ok' ? [...parsePoints(part.body).values()] : []));
  const isKnown = values.some((value) => value !== null);
  const sum = values.reduce<number>((total, value) => total + (value ?? 0), 0);
  return { kind: 'ok', body: [{ timestamp: dayStart, count: isKnown ? sum : null }] };
}

const NOT_ASKED: Answer = { kind: 'unknown' };
