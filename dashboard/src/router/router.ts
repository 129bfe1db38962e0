// The address of this window, and the ways to another one. A click on a link of ours is taken here and loads
// nothing anew; back and forward work as on any page.

import { addressOf, changed, isOwnPath, readAddress, withQuery, type Address } from './address';

type Listener = (address: Address, isNewPage: boolean) => void;

/** Read when it is first asked for: there is no address where panels are tested. */
let here: Address | null = null;
const listeners = new Set<Listener>();

export const current = (): Address => (here ??= readAddress(location));

/** The address of another page, seen from this one. */
export const hrefOf = (path: string): string => addressOf(path, current().query);

/** Calls `listener` after every change. Returns what ends it. */
export function onNavigate(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function arrive(): void {
  const before = current();
  const now = (here = readAddress(location));
  const isNewPage = before.page !== now.page || before.id !== now.id;
  for (const listener of listeners) listener(now, isNewPage);
}

/** Goes to an address of ours. */
export function go(href: string): void {
  history.pushState(null, '', href);
  arrive();
  scrollTo(0, 0);
}

/**
 * Changes the query of this page. With `replace` the one before is no step back: while something is dragged or
 * typed, say.
 */
export function change(changes: Readonly<Record<string, string | null>>, replace = false): void {
  const href = withQuery(location.pathname, changed(current().query, changes));
  if (href === location.pathname + location.search) return;
  if (replace) history.replaceState(history.state, '', href);
  else history.pushState(null, '', href);
  arrive();
}

/** Notes in the address what the page does by itself: nobody is told, and there is no step back. */
export function note(changes: Readonly<Record<string, string | null>>): void {
  history.replaceState(history.state, '', withQuery(location.pathname, changed(current().query, changes)));
  here = readAddress(location);
}

/** Follows clicks on links, and the browser's back and forward. */
export function startRouter(): void {
  addEventListener('popstate', arrive);
  addEventListener('hashchange', arrive);
  document.addEventListener('click', (event) => {
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    const isPlain = event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);
    if (!link || !isPlain || event.defaultPrevented || link.target !== '' || link.hasAttribute('download')) return;
    const url = new URL(link.href);
    // Fragments of this page are the browser's, and so is what is no page of ours.
    if (url.origin !== location.origin || url.hash !== '' || readAddress(url).page === 'missing') return;
    event.preventDefault();
    if (link.href !== location.href) go(url.pathname + url.search);
  });
}

const RETURN_KEY = 'floodmark.return';

/** Before one signs in at another site, which leads back to `/`: keeps where one was. */
export function keepPlace(): void {
  try {
    sessionStorage.setItem(RETURN_KEY, location.pathname + location.search);
  } catch {
    // Then one comes back to the front page.
  }
}

/** Goes on where one was before signing in at another site. */
export function resumePlace(): void {
  try {
    const place = sessionStorage.getItem(RETURN_KEY);
    sessionStorage.removeItem(RETURN_KEY);
    if (!isOwnPath(place) || location.pathname !== '/' || location.search !== '') return;
    history.replaceState(null, '', place + location.hash);
    arrive();
  } catch {
    // Nothing was kept.
  }
}
