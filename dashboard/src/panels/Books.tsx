// Whether every order that the shop or its payment provider has is here, once and with its amount. What the panel
// shows (books/BooksContent.tsx) is loaded where there are books.

import { isObject } from '../json';
import { later } from '../later';
import { oneRequest } from '../questions/question';
import type { Panel, PanelProps } from './panel';

/** What GET /api/analytics/books says of today, as it came. */
export const booksQuestion = oneRequest<unknown>({
  path: 'books',
  everyMs: 60_000,
  initially: null,
  parse: (body) => body,
  whenUnknown: null,
});

export const books: Panel = {
  id: 'books',
  place: 'notes',
  shownIn: 'every shop',
  metrics: ['orders_booked', 'orders_tracked'],
  isOfNow: true,
  asks: [booksQuestion],
  Content: Books,
};

const content = later(() => import('./books/BooksContent'));

function Books({ view }: PanelProps) {
  const body = view.answerTo(booksQuestion);
  const loaded = isObject(body) && body.kept === true ? content() : null;
  return loaded && <loaded.BooksContent view={view} />;
}
