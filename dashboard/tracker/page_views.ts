// Page views: when the page is shown, and when a page of one document goes to another path.

import { settings } from './settings';
import type { Track } from './track';

/** The path that was last seen. */
let seen: string | undefined;

/** Counts the page as it is now, and each path that it goes to. */
export function watchPaths(track: Track): void {
  const view = (): void => {
    // What stands behind `?` is left out, since addresses of mails and tokens stand there.
    const path = location.pathname + ('hash' in settings ? location.hash : '');
    if (path === seen) return;
    track('page_view', { path, referrer: seen === undefined ? from() : undefined, ...campaign() });
    seen = path;
  };
  for (const name of ['pushState', 'replaceState'] as const) {
    const original = history[name];
    history[name] = function (...given) {
      original.apply(this, given);
      view();
    };
  }
  addEventListener('popstate', view);
  addEventListener('hashchange', view);
  addEventListener('pageshow', ({ persisted }) => {
    // The visitor came back to a page that the browser had kept.
    if (persisted) seen = '';
    if (persisted) view();
  });
  view();
}

/** The page of another site that led here, without its query. */
function from(): string | undefined {
  const [page = ''] = document.referrer.split(/[?#]/);
  return page.startsWith(location.origin + '/') ? undefined : page || undefined;
}

/** The parameters `utm_…` of the address. */
function campaign(): Record<string, string> {
  const parameters = [...new URLSearchParams(location.search)];
  return Object.fromEntries(parameters.filter(([name]) => name.startsWith('utm_')));
}
