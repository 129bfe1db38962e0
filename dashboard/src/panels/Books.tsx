// Whether every order that the shop or its payment provider has is here, once and with its amount.

import { count } from '../format';
import { booksInWords, booksQuestion, shareText } from '../questions/books';
import type { Panel, PanelProps } from './panel';

export const books: Panel = {
  id: 'books',
  place: 'notes',
  shownIn: 'every shop',
  metrics: ['orders_booked', 'orders_tracked'],
  asks: [booksQuestion],
  Content: Books,
};

function Books({ view }: PanelProps) {
  const books = view.answerTo(booksQuestion);
  if (books === null) return null;
  const { orders, share, trackedShare, faults } = books;
  return (
    <section class="note" aria-labelledby="books" data-testid="books">
      <h2 id="books">
        The books <span class="window">today, {count(orders)} orders</span>
      </h2>
      <p class="books-share" data-share={share ?? ''}>
        {booksInWords(books)}.
      </p>
      {faults.length > 0 && (
        <ul class="books-faults">
          {faults.map(({ text, ids, more }) => (
            <li key={text}>
              <b>{text}:</b> <bdi>{ids.join(', ')}</bdi>
              {more > 0 && <span class="soft"> and {count(more)} more</span>}
            </li>
          ))}
        </ul>
      )}
      {trackedShare !== null && trackedShare < (share ?? 1) && (
        <p class="soft">{shareText(trackedShare)} came from pages and servers, the others by webhook only.</p>
      )}
    </section>
  );
}
