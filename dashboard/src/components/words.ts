// The connection in words: one place, so that the pill, the page's title and what a screen reader
// hears never disagree.

import { age, clockSecond } from '../format';
import type { View } from '../live';
import type { LostWhy } from '../stream/connection';
import { behindMs } from '../stream/state';

export interface LinkWords {
  /** A word that changes only with the state of the link, so that a screen reader isn't told every second. */
  state: string;
  /** Ages and countdowns; may be empty. */
  detail: string;
  /** Connected, but the numbers are late. */
  isBehind: boolean;
  /** What may be wrong, in a sentence; empty where there is nothing to say. */
  reason: string;
}

/** The first try after a loss mostly succeeds: until then nobody has to be told why. */
const TELL_FROM_TRY = 2;

const REASONS: Readonly<Record<LostWhy, string>> = {
  'no answer': 'The server does not answer.',
  'stream refused':
    'The server answers, and refuses the stream: a proxy in between may pass no WebSockets on, or this page may not be an origin that the server allows.',
  ended: '',
};

export function linkWords({ link, past, zone, state, ageMs, localNow }: View): LinkWords {
  const words = { detail: '', isBehind: false, reason: '' };
  if (past) {
    const reason = past.trouble ?? '';
    return { ...words, state: 'Not live', detail: clockSecond(past.moment, zone), reason };
  }
  switch (link.kind) {
    case 'connecting':
      return { ...words, state: 'Connecting' };
    case 'live': {
      const behind = behindMs(state);
      if (behind === 0) return { ...words, state: 'Live' };
      return { ...words, state: 'Behind', detail: `numbers are ${age(behind)} old`, isBehind: true };
    }
    case 'stale':
      return { ...words, state: 'Stale', detail: `last heard ${age(ageMs)} ago` };
    case 'reconnecting': {
      const wait = link.retryAt === null ? 0 : Math.ceil((link.retryAt - localNow) / 1000);
      const next = wait > 0 ? `try ${link.attempt} in ${wait} s` : `try ${link.attempt}`;
      const reason = link.attempt >= TELL_FROM_TRY ? REASONS[link.why] : '';
      return { ...words, state: 'Reconnecting', detail: next, reason };
    }
    case 'unauthorized':
      return { ...words, state: 'Sign-in needed' };
  }
}

/** Whether the numbers on screen may be read as now. */
export const isCurrent = ({ link, past, state }: View): boolean =>
  !past && link.kind === 'live' && behindMs(state) === 0;

/** Whether the numbers are right for what they say they are of: a moment of the past is, as long as it comes. */
export const isSound = (view: View): boolean => (view.past ? view.past.trouble === null : isCurrent(view));
