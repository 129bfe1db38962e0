// A session is what a visitor does without a pause of half an hour, in all tabs.

import { newId } from './ids';
import { settings } from './settings';
import { keep, storage } from './storage';

const NAME = 'floodmark';
const PAUSE_MS = 30 * 60_000;

/** The id of the session and when it was last used, as `ID MILLISECONDS`. */
let known = '';

/** The id of the session, which begins now if none is under way. Who refuses to be analysed has none. */
export function sessionId(): string | undefined {
  if (navigator.globalPrivacyControl && settings.gpc !== 'off') return;
  const now = Date.now();
  const [id, usedAt] = (storage?.getItem(NAME) ?? known).split(' ');
  const goesOn = id && now - Number(usedAt) < PAUSE_MS;
  const current = goesOn ? id : newId();
  known = `${current} ${now}`;
  keep(NAME, known);
  return current;
}
