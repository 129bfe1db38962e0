// What the panel of the books says, and when it says nothing.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setLocale } from '../src/format';
import { IDS_SHOWN, booksInWords, parseBooks, shareText } from '../src/questions/books';

setLocale('en-US');

const body = {
  kept: true,
  orders: 10_000,
  matched: 9_998,
  tracked: 9_000,
  share: 0.9998,
  counts: { missing: 3, doubled: 1, differ: 2, unknown: 0 },
  missing: ['1', '2', '3'],
  doubled: ['4'],
  differ: [{ order: '5' }, { order: '6' }],
  unknown: [],
};

test('the sentence says how many orders are here and what is wrong', () => {
  const books = parseBooks(body);
  assert.ok(books);
  assert.equal(booksInWords(books), '99.98% of orders are here; 3 missing, 1 doubled, 2 differ');
  assert.deepEqual(
    books.faults.map(({ ids }) => ids),
    [['1', '2', '3'], ['4'], ['5', '6']],
  );
  assert.equal(books.trackedShare, 0.9);
});

test('a long list is cut and says how many more there are', () => {
  const missing = Array.from({ length: 100 }, (_, n) => String(n));
  const books = parseBooks({ ...body, missing, counts: { missing: 250 } });
  assert.deepEqual([books?.faults[0]?.ids.length, books?.faults[0]?.more], [IDS_SHOWN, 250 - IDS_SHOWN]);
});

test('one order in a million that is missing is not rounded away', () => {
  assert.equal(shareText(0.999999), '99.99%');
  assert.equal(shareText(1), '100.00%');
});

test('a shop without books has no panel', () => {
  for (const none of [null, {}, { ...body, kept: false }, { kept: true, orders: 0, counts: {} }]) {
    assert.equal(parseBooks(none), null);
  }
  const unknown = parseBooks({ kept: true, orders: 0, share: null, counts: { unknown: 1 }, unknown: ['7'] });
  assert.ok(unknown);
  assert.equal(booksInWords(unknown), 'No order in the books yet; 1 not in the books');
});
