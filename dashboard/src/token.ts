// The viewer token that this browser keeps, or that the page was opened with.
//
// A wall screen is opened with `#token=TOKEN`: what follows `#` never leaves the browser. `?token=TOKEN` is
// understood as well, though servers and proxies on the way may have written it down. Either is taken out of
// the address at once, so that it stands in no history, no bookmark, no screenshot and no `Referer`.

import { recall, remember } from './storage';

const TOKEN_KEY = 'floodmark.viewerToken';
const PARAMETER = 'token';

/** An address without the secret of this name, and the secret; null where it has none. */
export function splitAddress(address: string, name = PARAMETER): { token: string; rest: string } | null {
  const url = new URL(address);
  const fragment = new URLSearchParams(url.hash.slice(1));
  const token = fragment.get(name) ?? url.searchParams.get(name);
  if (token === null) return null;
  fragment.delete(name);
  url.searchParams.delete(name);
  url.hash = fragment.toString();
  return { token: token.trim(), rest: url.toString() };
}

/** The token to begin with. Call it before anything is loaded or asked. */
export function firstToken(): string | null {
  const opened = splitAddress(location.href);
  if (!opened) return recall(TOKEN_KEY);
  history.replaceState(history.state, '', opened.rest);
  if (opened.token === '') return recall(TOKEN_KEY);
  remember(TOKEN_KEY, opened.token);
  return opened.token;
}

/** Keeps a token for later visits; null forgets it. */
export function keepToken(token: string | null): void {
  remember(TOKEN_KEY, token);
}
