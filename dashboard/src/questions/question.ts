// What a question is: something that panels show and no frame of the stream says, so that it has to
// be asked for over HTTP, again and again. A question says what it asks, how often, what becomes of
// the answers, and what stays when there are none; asker.ts does the asking.
//
// A question that several panels name is one question, and is asked once for all of them.

import type { Frame } from '../stream/frames';
import type { Answer } from './ask';

export type Parameters = Readonly<Record<string, string>>;

/** What a round of requests has at hand. `A` is what is known of the question, in its own type. */
export interface Round<A> {
  /** Sends GET /api/analytics/`path`, with the viewer token. */
  ask(path: string, parameters?: Parameters): Promise<Answer>;
  /** What is known at the moment of the call. A frame may have changed it while a request was under way. */
  known(): A;
  /** What is known of another question. */
  answerTo<B>(question: Question<B>): B;
  /** Server time, Unix milliseconds; while the page shows the past, the moment that it shows. */
  now(): number;
  /** The moment of the past that the page shows, Unix milliseconds; null where it shows now. */
  moment(): number | null;
}

/** What a frame of the stream says of a question. */
export interface Heard<A> {
  known: A;
  /** Extra rounds, so many milliseconds from now. */
  askAfterMs: readonly number[];
}

export interface Question<A> {
  /** What is known before the first answer. */
  initially(): A;
  /** The pause between the end of one round and the next. */
  everyMs: number | ((known: A) => number);
  /** Its answer is another one at another moment of the past. */
  isOfMoment?: boolean;
  /** This one is first asked when that one has been: its requests depend on the answer. */
  needs?: Question<any>;
  /** One round of requests. Returns what is known from then on; what failed should stay as it was. */
  round(round: Round<A>): Promise<A>;
  /** Looks at every frame. Null where the frame says nothing of this question. */
  hear?(frame: Frame, known: A): Heard<A> | null;
}

export interface OneRequest<A> {
  /** Behind /api/analytics/. */
  path: string;
  parameters?: Parameters;
  everyMs: number;
  /** What is asked while the page shows a moment of the past, where that is something else. */
  atMoment?(moment: number): { path: string; parameters: Parameters };
  initially: A;
  parse(body: unknown): A;
  /** What is known where the server says that there is no such thing (400, 404). By default the last answer. */
  whenUnknown?: A;
}

/** The ordinary question: one request a round. An answer that fails leaves the last one standing. */
export function oneRequest<A>(spec: OneRequest<A>): Question<A> {
  return {
    initially: () => spec.initially,
    everyMs: spec.everyMs,
    isOfMoment: spec.atMoment !== undefined,
    async round({ ask, known, moment }) {
      const at = moment();
      const { path, parameters } = (at !== null && spec.atMoment?.(at)) || spec;
      const answer = await ask(path, parameters);
      if (answer.kind === 'ok') return spec.parse(answer.body);
      return answer.kind === 'unknown' && spec.whenUnknown !== undefined ? spec.whenUnknown : known();
    },
  };
}

/** The span of the last hour by minute: up to now, or up to a moment of the past with the minute that it is in. */
export const lastHour = (moment: number | null): Parameters =>
  moment === null
    ? { hours: '1' }
    : { from: String(Math.floor(moment / 60_000) * 60_000 - 59 * 60_000), to: String(moment + 1) };

/** What is known of a question that the server may refuse. */
export type Known<A> = { kind: 'waiting' } | { kind: 'known'; value: A } | { kind: 'refused'; message: string };

export interface RefusableRequest<A> {
  /** Behind /api/analytics/. */
  path: string;
  parameters: Parameters;
  everyMs: number;
  /** `total` as `Answer` has it. */
  parse(body: unknown, total?: number): A;
}

/**
 * One request a round, of which the page says why the server refuses it. What is known already stays while the
 * server does not answer.
 */
export function refusable<A>({ path, parameters, everyMs, parse }: RefusableRequest<A>): Question<Known<A>> {
  return {
    initially: () => ({ kind: 'waiting' }),
    everyMs,
    async round({ ask, known }) {
      const answer = await ask(path, parameters);
      if (answer.kind === 'ok') return { kind: 'known', value: parse(answer.body, answer.total) };
      if (answer.message === undefined || (answer.kind === 'failed' && known().kind === 'known')) return known();
      return { kind: 'refused', message: answer.message };
    },
  };
}
