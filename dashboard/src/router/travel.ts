// The ways to another moment: the address names it, and the page follows.

import { momentText } from './address';
import { change, current } from './router';

/** A moment that is so close to now is now: nobody looks for the second before. */
const NOW_MS = 2_000;

/** Whoever drags is followed so often; a browser lets the address be written only so many times. */
export const FOLLOW_EVERY_MS = 300;

/** Goes to a moment. The first is a step that the browser's back undoes; those after it are the same look back. */
export function travel(moment: number, now: number): void {
  if (now - moment < NOW_MS) return toLive();
  change({ at: momentText(moment) }, current().query.has('at'));
}

/** Goes back to now. */
export const toLive = (): void => change({ at: null });
