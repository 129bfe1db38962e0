// What a page beside the front page is: a component that gets the view and the address. The front page is a list
// of panels (panels/index.ts) and is part of what is loaded first; each of the others is a file of its own, which
// is loaded when somebody goes there.
//
// CONTRIBUTING.md says how to add one.

import type { JSX } from 'preact';
import type { Visitor } from '../access/visitor';
import type { View } from '../live';
import type { Address, PageName } from '../router/address';

export interface PageProps {
  view: View;
  visitor: Visitor;
  address: Address;
}

export type PageContent = (props: PageProps) => JSX.Element;

/** Pages with code of their own. */
export type LoadedPage = Exclude<PageName, 'now'>;

const LOADERS: Readonly<Record<LoadedPage, () => Promise<PageContent>>> = {
  explore: () => import('./explore/Explore').then(({ Explore }) => Explore),
  incidents: () => import('./incidents/Incidents').then(({ Incidents }) => Incidents),
  incident: () => import('./incidents/Incident').then(({ Incident }) => Incident),
  events: () => import('./events/Events').then(({ Events }) => Events),
  sources: () => import('./sources/Sources').then(({ Sources }) => Sources),
  settings: () => import('../access/settings/Settings').then(({ Settings }) => Settings),
  missing: () => import('./Missing').then(({ Missing }) => Missing),
};

/** What a page is called in the window's title. */
export const TITLES: Readonly<Record<PageName, string>> = {
  now: '',
  explore: 'Explore',
  incidents: 'Incidents',
  incident: 'Incident',
  events: 'Events',
  sources: 'Sources',
  settings: 'Access',
  missing: 'No such page',
};

/** `failed`: its file could not be loaded, as after an update of the server or without a network. */
export type Loading = PageContent | 'loading' | 'failed';

const loaded = new Map<LoadedPage, Loading>();

/** The page, which is loaded at the first call; `changed` is called when it is there, or can't be. */
export function contentOf(page: LoadedPage, changed: () => void): Loading {
  const known = loaded.get(page);
  if (known) return known;
  loaded.set(page, 'loading');
  const settle = (content: Loading) => {
    loaded.set(page, content);
    changed();
  };
  Promise.all([LOADERS[page](), loadStyle()]).then(
    ([content]) => settle(content),
    () => settle('failed'),
  );
  return 'loading';
}

let style: Promise<unknown> | null = null;

/** The style sheet of all pages but the front page, and of what that loads later. */
export function loadStyle(): Promise<unknown> {
  style ??= new Promise((there, missing) => {
    const link = Object.assign(document.createElement('link'), { rel: 'stylesheet', href: '/pages.css' });
    link.onload = there;
    link.onerror = () => {
      link.remove();
      style = null;
      missing(new Error('no style sheet'));
    };
    document.head.append(link);
  });
  return style;
}

/** Tries once more to load what could not be. */
export const tryAgain = (page: LoadedPage): boolean => loaded.delete(page);
