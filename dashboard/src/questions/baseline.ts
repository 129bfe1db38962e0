// Another day, which today is held against: its hour is drawn behind this one, and its revenue up to the same
// moment is said. The choice of the day is remembered by this browser.

import { number, numberOrNull, objects, string } from '../json';
import { recall, remember } from '../storage';
import type { Answer } from './ask';
import { oneRequest, type Question } from './question';

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

/** The series at these moments, null where it is not known. */
export const pointsAt = (points: PointsByTime | null, times: readonly number[]): (number | null)[] =>
  times.map((time) => points?.get(time) ?? null);

/** What is asked of the other day, as the time series calls it. */
const ASKED = {
  pageViews: { type: 'page_view', hours: '1' },
  errors: { type: 'error', hours: '1' },
  purchases: { type: 'purchase', hours: '1' },
  revenue: { metric: 'revenue', hours: '1' },
  /** One value: the other day up to the moment that it is now. */
  revenueToday: { metric: 'revenue', interval: '1d', hours: '1' },
} as const;
type Asked = keyof typeof ASKED;
const NAMES = Object.keys(ASKED) as Asked[];

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
  async round({ ask, known }) {
    const { baseline } = known();
    const answers = await Promise.all(NAMES.map((name) => ask('timeseries', { ...ASKED[name], baseline })));
    const before = known();
    const points = (answer: Answer, last: PointsByTime | null) =>
      answer.kind === 'ok' ? parsePoints(answer.body) : answer.kind === 'unknown' ? null : last;
    const all = NAMES.map((name, index) => [name, points(answers[index]!, before.points[name])] as const);
    const isAnswered = before.isAnswered || answers.some(({ kind }) => kind !== 'failed');
    return { baseline, points: { ...NOTHING, ...Object.fromEntries(all) }, isAnswered };
  },
};
