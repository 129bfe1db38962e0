// What a panel is: a part of a page that says of itself where it stands, which metrics it shows, and
// what it asks the server. A page is a list of panels. How to add one: index.ts.

import type { JSX } from 'preact';
import type { View } from '../live';
import type { Question } from '../questions/question';
import { isEmpty } from '../stream/state';

/**
 * - `top`: above everything else, for what nobody may overlook
 * - `board`: the grid that fills the first screen
 * - `notes`: under it, for whoever scrolls
 *
 * Panels of one place stand in the order of the list.
 */
export type Place = 'top' | 'board' | 'notes';

/** An empty shop has had no event today and none in the last hour; it is told how to send one. */
export type ShownIn = 'every shop' | 'a shop with events' | 'an empty shop';

export interface PanelProps {
  view: View;
  page: Page;
}

export interface Panel {
  /** Its name among the panels of a page. */
  id: string;
  place: Place;
  shownIn: ShownIn;
  /**
   * Metrics of the configuration that it shows, or that are a part of one it shows, by name. The panel
   * "More" lists those that no panel of the page names.
   */
  metrics?: readonly string[];
  /** What it asks beside the stream, while it is on the page and somebody looks. */
  asks?: readonly Question<any>[];
  /** It says how things stand now, and is left out while the page shows the past. */
  isOfNow?: boolean;
  /** What of it is so serious that the window's title has to say it; empty where nothing is. */
  warning?(view: View): string;
  Content(props: PanelProps): JSX.Element | null;
}

export type Page = readonly Panel[];

/** What a page asks. Panels may share a question. */
export const questionsOf = (page: Page): Question<any>[] => [...new Set(page.flatMap(({ asks = [] }) => asks))];

/** The metrics that have a place on the page. */
export const metricsOn = (page: Page): ReadonlySet<string> => new Set(page.flatMap(({ metrics = [] }) => metrics));

/** What the panels of a page want in the window's title. */
export const warningsOf = (page: Page, view: View): string[] =>
  page.map(({ warning }) => warning?.(view) ?? '').filter((text) => text !== '');

/** The panels that stand there now. */
export function panelsAt(page: Page, place: Place, { state, past }: View): Page {
  // Until the first snapshot nobody knows, and most shops have events; at a moment of the past, they had none yet.
  const hidden: ShownIn = state && !past && isEmpty(state) ? 'a shop with events' : 'an empty shop';
  return page.filter((panel) => panel.place === place && panel.shownIn !== hidden && !(past && panel.isOfNow));
}
