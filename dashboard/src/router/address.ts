// Addresses of the page: which page one is at, and what its query says. Nothing here knows of a browser.
//
//   /                  now
//   /explore           any metric or type of events over any span
//   /incidents         the alerts that fire and those that are over
//   /incidents/ID      one of them
//   /events            single events as they come; the path of a visitor
//   /sources           what arrives, from where, and what is refused
//   /settings          who has access
//
// The server has the same list (src/http/assets.rs), and answers the page at each with 200; at any other path it
// answers it with 404.

export type PageName = 'now' | 'explore' | 'incidents' | 'incident' | 'events' | 'sources' | 'settings' | 'missing';

export interface Address {
  page: PageName;
  /** What stands behind the page's name: the id of an incident. */
  id: string | null;
  query: URLSearchParams;
}

const PATHS: Readonly<Record<string, PageName>> = {
  '/': 'now',
  '/explore': 'explore',
  '/incidents': 'incidents',
  '/events': 'events',
  '/sources': 'sources',
  '/settings': 'settings',
};

const INCIDENT = /^\/incidents\/([^/]+)$/;

/** Where the access settings were before they had an address. */
const SETTINGS_BEFORE = '#access';

export function readAddress({ pathname, search, hash }: Pick<URL, 'pathname' | 'search' | 'hash'>): Address {
  const query = new URLSearchParams(search);
  if (pathname === '/' && hash === SETTINGS_BEFORE) return { page: 'settings', id: null, query };
  const page = Object.hasOwn(PATHS, pathname) ? PATHS[pathname]! : null;
  if (page) return { page, id: null, query };
  const id = INCIDENT.exec(pathname)?.[1];
  return id ? { page: 'incident', id: decoded(id), query } : { page: 'missing', id: null, query };
}

/** A part of a path as it was meant; one that is no such encoding stands for itself. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** What goes along from page to page: how one looks at all of them, not what one looks at. */
const KEPT = ['zone', 'wall'];

/** The address of another page, with what goes along. `query` has what that page is to show. */
export function addressOf(path: string, from: URLSearchParams, query: Readonly<Record<string, string>> = {}): string {
  const kept = KEPT.flatMap((name) => (from.has(name) ? [[name, from.get(name)!]] : []));
  return withQuery(path, new URLSearchParams([...Object.entries(query), ...kept]));
}

/** The same page, and of its query these parameters otherwise: null takes one away. */
export function changed(query: URLSearchParams, changes: Readonly<Record<string, string | null>>): URLSearchParams {
  const next = new URLSearchParams(query);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === '') next.delete(name);
    else next.set(name, value);
  }
  return next;
}

export function withQuery(path: string, query: URLSearchParams): string {
  // `?wall` has no value, and looks as it was typed.
  const text = query.toString().replace(/(^|&)wall=(?=&|$)/, '$1wall');
  return text === '' ? path : `${path}?${text}`;
}

/** The time zone of the address; null where it has none, or one that this browser has not heard of. */
export function zoneOf(query: URLSearchParams): string | null {
  const zone = query.get('zone');
  if (!zone) return null;
  try {
    return new Intl.DateTimeFormat('en', { timeZone: zone }).resolvedOptions().timeZone;
  } catch {
    return null;
  }
}

/** The last moment that a `Date` can have, Unix milliseconds. */
const LAST_MOMENT = 8.64e15;

/** A moment as the address has it, Unix milliseconds or RFC 3339; null for what can't be read. */
export function momentOf(text: string | null): number | null {
  if (!text) return null;
  const time = /^\d{9,}$/.test(text) ? Number(text) : Date.parse(text);
  return Math.abs(time) <= LAST_MOMENT ? time : null;
}

/** A moment for the address, to the second: `2026-11-27T13:41:07Z`. */
export const momentText = (moment: number): string => new Date(moment).toISOString().replace(/\.\d+Z$/, 'Z');

/** The address of the front page at a moment. */
export const hrefAt = (moment: number, from: URLSearchParams): string =>
  addressOf('/', from, { at: momentText(moment) });

/** Where to go on after signing in elsewhere: a path of this page, and nothing that leads to another site. */
export const isOwnPath = (path: string | null): path is string => path !== null && /^\/(?![/\\])/.test(path);
