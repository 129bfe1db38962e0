// What the panel of the books shows, also as a part of the page of sources.

import { count } from '../../format';
import type { View } from '../../live';
import { booksInWords, parseBooks, shareText } from '../../questions/books';
import { useAnswer } from '../../questions/use_answer';
import { booksQuestion } from '../Books';

interface BooksContentProps {
  view: View;
  /** It is a part of a page that says where it has nothing; a panel leaves itself out then. */
  isAlone?: boolean;
}

export function BooksContent({ view, isAlone = false }: BooksContentProps) {
  const books = parseBooks(useAnswer(view, isAlone ? booksQuestion : null) ?? view.peek(booksQuestion));
  if (books === null) return isAlone ? <NoBooks /> : null;
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

const NoBooks = () => (
  <section class="note" aria-labelledby="books" data-testid="books">
    <h2 id="books">
      The books <span class="window">today</span>
    </h2>
    <p class="soft">
      No order is in the books today. They come by the webhooks of Shopify and Stripe, or from a file:{' '}
      <code>floodmark orders</code>. Then it stands here which orders have no event, or several.
    </p>
  </section>
);
