// The feed: the newest events that pass a filter, asked for every other second. Where more come than are asked
// for, it has the newest of each round, and says how many there were for each one shown.

import type { Parameters, Question } from '../../questions/question';
import { keyOf, parseEvents, type SingleEvent } from './rows';

const EVERY_MS = 2_000;
/** Events that are asked for at a time. */
const LIMIT = 50;
/** Events that are kept, the newest. */
export const KEPT = 200;
/** Events are dated before they come: so far back each round looks once more. */
const LATE_MS = 5_000;
/** Rounds that the share shown is taken over. */
const ROUNDS = 5;

export interface Feed {
  /** The newest first. */
  rows: readonly SingleEvent[];
  /** For each event shown there were about so many; 1 where all are shown. */
  oneIn: number;
  /** Where the search for earlier events goes on; null where there are no more. */
  next: string | null;
  /** Up to which moment the server has looked back. */
  searchedTo: number | null;
  /** Why the server does not answer it. */
  refused: string | null;
  isAnswered: boolean;
  /** The end of the newest round, server time. */
  upTo: number | null;
  /** For the last rounds, how long they were, and how much of that the events shown go back. */
  rounds: readonly { span: number; shown: number }[];
}

export const NO_FEED: Feed = {
  rows: [],
  oneIn: 1,
  next: null,
  searchedTo: null,
  refused: null,
  isAnswered: false,
  upTo: null,
  rounds: [],
};

/** The events of both, each once, the newest first. */
export function merged(
  rows: readonly SingleEvent[],
  more: readonly SingleEvent[],
  most = KEPT,
): readonly SingleEvent[] {
  const all = new Map([...rows, ...more].map((row) => [keyOf(row), row]));
  if (all.size === rows.length) return rows;
  return [...all.values()].sort((a, b) => b.timestamp - a.timestamp).slice(0, most);
}

/** How many events there were for each one shown, by the time that those shown go back. */
export function oneInOf(rounds: Feed['rounds']): number {
  const sum = (pick: (round: { span: number; shown: number }) => number) =>
    rounds.reduce((total, round) => total + pick(round), 0);
  return Math.max(
    1,
    sum(({ span }) => span) /
      Math.max(
        1,
        sum(({ shown }) => shown),
      ),
  );
}

/** A round that follows another one: what came since. */
export function withNews(feed: Feed, body: unknown, now: number): Feed {
  const { events, next } = parseEvents(body);
  const since = feed.upTo ?? now;
  const span = Math.max(1, now - since);
  // Where the answer was cut, what is missing lies between the round before and the oldest event that came.
  const isCut = next !== null && events.length >= LIMIT;
  const oldest = events.at(-1)?.timestamp ?? now;
  const shown = isCut ? Math.min(span, Math.max(1, now - Math.max(since, oldest))) : span;
  const rounds = [...feed.rounds, { span, shown }].slice(-ROUNDS);
  return { ...feed, rows: merged(feed.rows, events), upTo: now, rounds, oneIn: oneInOf(rounds), refused: null };
}

/** A round that looks further back, as for the first one and for a filter that few events pass. */
export function withEarlier(feed: Feed, body: unknown, now: number): Feed {
  const { events, next, searchedTo } = parseEvents(body);
  return {
    ...feed,
    rows: merged(feed.rows, events),
    next,
    searchedTo: searchedTo ?? feed.searchedTo,
    upTo: feed.upTo ?? now,
    refused: null,
    isAnswered: true,
  };
}

/**
 * @param filter parameters of `/api/analytics/events`
 * @param follows events go on to come; else it is a list of a span that is over
 */
export function feedQuestion(filter: Parameters, follows: boolean): Question<Feed> {
  return {
    initially: () => NO_FEED,
    // A list of what is over is asked for until it is full, and then rests.
    everyMs: (feed) => (follows || wantsMore(feed) ? EVERY_MS : 60_000),
    async round({ ask, known, now }) {
      const before = known();
      const limit = String(LIMIT);
      // The server's time is an estimate, with a fraction.
      const began = Math.round(now());
      const answer =
        before.isAnswered && !wantsMore(before)
          ? follows
            ? await ask('events', { ...filter, limit, from: String((before.upTo ?? began) - LATE_MS) })
            : null
          : await ask('events', { ...filter, limit, ...(before.next !== null && { after: before.next }) });
      if (answer === null) return before;
      if (answer.kind !== 'ok') {
        return answer.message === undefined || before.isAnswered ? before : { ...before, refused: answer.message };
      }
      const isNews = before.isAnswered && !wantsMore(before);
      return isNews ? withNews(known(), answer.body, began) : withEarlier(known(), answer.body, began);
    },
  };
}

/** A screen of events is looked for; the server looks back for 100 ms at a time. */
export const wantsMore = ({ rows, next, isAnswered }: Feed): boolean =>
  isAnswered && next !== null && rows.length < LIMIT;
