// Tests the feed of single events: its filter, what it asks, and what it says of what it does not show.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { feedQuestion, merged, NO_FEED, oneInOf, withEarlier, withNews } from '../src/pages/events/feed';
import { filterParameters, readFilter, readTest, testInWords } from '../src/pages/events/filter';
import { gistOf, parseEvents, pathQuery, visitorOf } from '../src/pages/events/rows';
import { visitorsOf } from '../src/pages/incidents/Who';
import type { Answer } from '../src/questions/ask';

const event = (timestamp: number, more: object = {}) => ({
  timestamp,
  receivedAt: timestamp,
  id: `e${timestamp}`,
  type: 'page_view',
  properties: {},
  ...more,
});
const page = (events: object[], next: string | null = null) => ({ events, next, searchedTo: 0 });
const rowsOf = (...events: object[]) => parseEvents(page(events)).events;

test('a filter is what the address says, in the words of the server', () => {
  const query = new URLSearchParams('type=error&where.gateway=adyen&where.amount=>=100&zone=UTC&session=&text=');
  assert.deepEqual(filterParameters(query), { type: 'error', 'where.gateway': 'adyen', 'where.amount': '>=100' });
  assert.deepEqual(readFilter(query).where, [
    { property: 'gateway', test: 'adyen' },
    { property: 'amount', test: '>=100' },
  ]);
});

test('a test of a property is typed as one writes it', () => {
  assert.deepEqual(readTest('gateway=adyen'), { property: 'gateway', test: 'adyen' });
  assert.deepEqual(readTest(' amount >= 100 '), { property: 'amount', test: '>=100' });
  assert.deepEqual(readTest('coupon!=X1'), { property: 'coupon', test: '!X1' });
  assert.deepEqual(readTest('url=/a?b=c'), { property: 'url', test: '/a?b=c' });
  for (const none of ['', 'gateway', '=adyen', 'gateway=']) assert.equal(readTest(none), null, none);
  assert.equal(testInWords({ property: 'coupon', test: '!X1' }), 'coupon ≠ X1');
});

test('events of two rounds are each there once, the newest first, and not too many', () => {
  const [a, b] = [rowsOf(event(2), event(1)), rowsOf(event(3), event(2))];
  assert.deepEqual(
    merged(a, b).map(({ timestamp }) => timestamp),
    [3, 2, 1],
  );
  assert.equal(merged(a, a), a, 'nothing has changed, so nothing is drawn');
  assert.equal(merged(a, b, 2).length, 2);
});

test('where more come than are shown, the feed says one in how many', () => {
  const first = withEarlier(NO_FEED, page([event(9_990)]), 10_000);
  assert.deepEqual([first.isAnswered, first.oneIn, first.upTo], [true, 1, 10_000]);
  // All that came since: the answer was not cut.
  assert.equal(withNews(first, page([event(11_000)]), 12_000).oneIn, 1);
  // Fifty events, which go back 100 ms of the 2,000.
  const many = Array.from({ length: 50 }, (_, index) => event(12_000 - index * 2, { id: `m${index}` }));
  const busy = withNews(first, page(many, 'more'), 12_000);
  assert.equal(Math.round(busy.oneIn), 20);
  assert.equal(oneInOf([]), 1);
});

test('the feed looks back until there is a screen of events, then for what is new', async () => {
  const asked: Record<string, string>[] = [];
  const question = feedQuestion({ type: 'error' }, true);
  let feed = question.initially();
  const round = async (answer: Answer) => {
    const ask = async (_path: string, parameters: Record<string, string> = {}) => {
      asked.push(parameters);
      return answer;
    };
    feed = await question.round({
      ask,
      known: () => feed,
      answerTo: () => null as never,
      now: () => 20_000,
      moment: () => null,
    });
  };
  await round({ kind: 'ok', body: page([event(5)], 'further') });
  await round({ kind: 'ok', body: page([event(4)]) });
  await round({ kind: 'ok', body: page([event(19_000)]) });
  assert.deepEqual(asked, [
    { type: 'error', limit: '50' },
    { type: 'error', limit: '50', after: 'further' },
    { type: 'error', limit: '50', from: '15000' },
  ]);
  assert.deepEqual(
    feed.rows.map(({ timestamp }) => timestamp),
    [19_000, 5, 4],
  );
});

test('a filter that the server refuses is said, and one failure changes nothing', async () => {
  const question = feedQuestion({ 'where.a': '>x' }, true);
  const hand = (answer: Answer, known = NO_FEED) => ({
    ask: async () => answer,
    known: () => known,
    answerTo: () => null as never,
    now: () => 1,
    moment: () => null,
  });
  const refused = await question.round(hand({ kind: 'unknown', message: 'no number' }));
  assert.equal(refused.refused, 'no number');
  const known = withEarlier(NO_FEED, page([event(1)]), 1);
  assert.equal(await question.round(hand({ kind: 'failed', message: 'busy' }, known)), known);
});

test('an event in a line: what says most stands first, what is long is cut, visitors are named', () => {
  const [row] = rowsOf(
    event(7_200_000, {
      userId: 'u1',
      sessionId: 's1',
      properties: { zebra: 1, path: '/x', amount: 5, empty: '', none: null, $bot: true, text: 'y'.repeat(99) },
    }),
  );
  const gist = gistOf(row!);
  assert.deepEqual(
    gist.map(({ name }) => name),
    ['amount', 'path', 'zebra', 'text'],
  );
  assert.equal(gist[3]!.text.length, 61);
  assert.equal(visitorOf(row!), 's1');
  assert.deepEqual(pathQuery(row!), { session: 's1', from: '3600000', to: '10800000' });
});

test('who met an incident: each visitor once, those with most events first', () => {
  const rows = rowsOf(
    event(4, { sessionId: 'a' }),
    event(3, { sessionId: 'b' }),
    event(2, { sessionId: 'b' }),
    event(1),
  );
  assert.deepEqual(
    visitorsOf(rows).map(({ event: { sessionId }, events }) => [sessionId, events]),
    [
      ['b', 2],
      ['a', 1],
    ],
  );
});
