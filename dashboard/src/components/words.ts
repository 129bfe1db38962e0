// The connection in words: one place, so that the pill, the page's title and what a screen reader
// hears never disagree.

import { age } from '../format';
import type { View } from '../live';

/** Numbers that lag by this much are said to be behind. A smaller lag is the server's ordinary tick. */
const BEHIND_FROM_MS = 2_000;

export interface LinkWords {
  /** A word that changes only with the state of the link, so that a screen reader isn't told every second. */
  state: string;
  /** Ages and countdowns; may be empty. */
  detail: string;
  /** Connected, but the numbers are late. */
  isBehind: boolean;
}

export function linkWords({ link, state, ageMs, localNow }: View): LinkWords {
  switch (link.kind) {
    case 'connecting':
      return { state: 'Connecting', detail: '', isBehind: false };
    case 'live':
      return state && state.behindMs >= BEHIND_FROM_MS
        ? { state: 'Live', detail: `numbers are ${age(state.behindMs)} behind`, isBehind: true }
        : { state: 'Live', detail: '', isBehind: false };
    case 'stale':
      return { state: 'Stale', detail: `last heard ${age(ageMs)} ago`, isBehind: false };
    case 'reconnecting': {
      const wait = link.retryAt === null ? 0 : Math.ceil((link.retryAt - localNow) / 1000);
      const next = wait > 0 ? `try ${link.attempt} in ${wait} s` : `try ${link.attempt}`;
      return { state: 'Reconnecting', detail: next, isBehind: false };
    }
    case 'unauthorized':
      return { state: 'Sign-in needed', detail: '', isBehind: false };
  }
}

/** Whether the numbers on screen may be read as now. */
export const isCurrent = ({ link }: View): boolean => link.kind === 'live';
