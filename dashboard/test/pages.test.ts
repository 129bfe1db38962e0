// Tests what pages show of incidents and sources, and that what is asked stays within a request a second.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { maySee, readWho } from '../src/access/call';
import { bySource, parseSchemas, shiftsOf } from '../src/pages/sources/schemas';
import { formatsOf } from '../src/pages/sources/Formats';
import { badStretch, drawnStretch, eventsOf } from '../src/pages/incidents/story';
import { parseEvents } from '../src/pages/events/rows';
import { frontPage } from '../src/panels';
import { questionsOf } from '../src/panels/panel';
import { parseAlerts, parseCauses, type Alert } from '../src/questions/alerts';
import type { Answer } from '../src/questions/ask';
import { Asker } from '../src/questions/asker';
import { catalogueQuestion } from '../src/questions/metrics';
import { oneRequest, refusable } from '../src/questions/question';
import { parseFrame } from '../src/stream/frames';
import { FakeTime } from './time';

const NOON = Date.UTC(2026, 10, 27, 12);
const MINUTE = 60_000;

class FakeServer extends FakeTime {
  asked: string[] = [];
  ask = async (path: string): Promise<Answer> => {
    this.asked.push(path);
    const name = path.replace('/api/analytics/', '').split('?')[0]!;
    const metrics = ['errors', 'purchases', 'checkout_error_rate'].map((it) => ({ name: it, unit: 'count' }));
    return { kind: 'ok', body: name === 'metrics' ? { metrics } : [] };
  };
}

test('the front page asks at most once a second, while three alerts fire too', async () => {
  const world = new FakeServer();
  const asker = new Asker(world, questionsOf(frontPage), () => {}, null);
  const firing = ['errors', 'purchases', 'checkout_error_rate'].map((metric) => ({ name: metric, metric, since: 0 }));
  const frame = { type: 'delta', seq: 1, timestamp: 1, counts: {}, alerts: { firing } };
  asker.hear(parseFrame(JSON.stringify(frame))!);
  asker.start();
  await world.pass(10_000);
  const opened = world.asked.length;
  const seconds = 600;
  await world.pass(seconds * 1_000);
  const later = world.asked.length - opened;
  assert.ok(later <= seconds, `${later} requests in ${seconds} s`);
  assert.ok(world.asked.some((path) => path.includes('metric=errors%2Cpurchases%2Ccheckout_error_rate')));
});

test('a question is asked as long as somebody holds it', async () => {
  const world = new FakeServer();
  const question = oneRequest<number>({ path: 'a', everyMs: 1_000, initially: 0, parse: () => 1 });
  const asker = new Asker(world, [], () => {}, null);
  asker.start();
  const [first, second] = [asker.hold(question), asker.hold(question)];
  await world.pass(0);
  first();
  first();
  await world.pass(1_000);
  assert.equal(world.asked.length, 2);
  assert.equal(asker.peek(question), 1);
  second();
  await world.pass(10_000);
  assert.equal(world.asked.length, 2);
  assert.equal(asker.peek(question), 0, 'what is known of it goes with the last one');
});

test('a question that needs another is asked after it, also when it is held later', async () => {
  const world = new FakeServer();
  const asker = new Asker(world, [], () => {}, null);
  asker.start();
  const needing = {
    ...oneRequest<number>({ path: 'b', everyMs: 1_000, initially: 0, parse: () => 1 }),
    needs: catalogueQuestion,
  };
  const letGo = asker.hold(needing);
  await world.pass(0);
  assert.deepEqual(world.asked, ['/api/analytics/metrics?', '/api/analytics/b?']);
  letGo();
  await world.pass(120_000);
  assert.equal(world.asked.length, 2);
});

test('why the server refuses is known, and an answer outlives a failure', async () => {
  const question = refusable({ path: 'a', parameters: {}, everyMs: 1, parse: (body) => body });
  let known = question.initially();
  const round = async (answer: Answer) => {
    const hand = {
      ask: async () => answer,
      known: () => known,
      answerTo: () => null as never,
      now: () => 1,
      moment: () => null,
    };
    known = await question.round(hand);
  };
  await round({ kind: 'failed' });
  assert.equal(known.kind, 'waiting');
  await round({ kind: 'unknown', message: 'too fine' });
  assert.deepEqual(known, { kind: 'refused', message: 'too fine' });
  await round({ kind: 'ok', body: 7 });
  await round({ kind: 'failed', message: 'busy' });
  assert.deepEqual(known, { kind: 'known', value: 7 });
});

const alertOf = (more: object): Alert =>
  parseAlerts({ firing: [{ id: 'a', name: 'a', since: NOON, windowSeconds: 60, value: 9, threshold: 3, ...more }] })
    .firing[0]!;

test('an incident is drawn from half an hour before until half an hour after, and not into the future', () => {
  const over = alertOf({ clearedAt: NOON + 20 * MINUTE, breachedUntil: NOON + 10 * MINUTE });
  assert.deepEqual(badStretch(over, NOON + 999 * MINUTE), { from: NOON - MINUTE, to: NOON + 10 * MINUTE });
  const drawn = drawnStretch(over, NOON + 999 * MINUTE);
  assert.deepEqual(drawn, { from: NOON - 31 * MINUTE, to: NOON + 50 * MINUTE, interval: '1m' });
  assert.equal(drawnStretch(alertOf({}), NOON + 5 * MINUTE).to, NOON + 5 * MINUTE);
  assert.equal(drawnStretch(alertOf({}), NOON + 2_000 * MINUTE).interval, '15m');
});

test('the events of an incident are filtered by what accounts for it, where that is a plain value', () => {
  const errors = alertOf({ metric: 'checkout_error_rate' });
  const by = (where: object) => eventsOf(errors, parseCauses([{ where, value: 1, was: 0, share: 0.9 }]), NOON);
  assert.deepEqual(by({ gateway: 'adyen' }), {
    type: 'error',
    'where.gateway': 'adyen',
    from: String(NOON - MINUTE),
    to: String(NOON),
  });
  for (const where of [{ amount: '>=100' }, { path: '/a*' }, { code: '!x' }]) {
    assert.deepEqual(Object.keys(by(where)), ['type', 'from', 'to'], JSON.stringify(where));
  }
  assert.deepEqual(parseCauses([{ where: { amount: '>=100', country: 'DE' } }])[0]?.conditions, [
    'amount>=100',
    'country=DE',
  ]);
});

const property = (name: string, trend: (number | null)[], firstSeen: number) => ({
  property: name,
  share: 1,
  types: { string: 1 },
  trend,
  firstSeen,
  lastSeen: 9,
});
const schema = (more: object) => ({
  type: 'purchase',
  source: 'web',
  events: 100,
  firstSeen: 1,
  lastSeen: 9,
  trend: [60, 40],
  properties: [],
  ...more,
});

test('sources are told with all of their types, the busiest first', () => {
  const { schemas } = parseSchemas({
    from: 5,
    to: 10,
    schemas: [
      schema({}),
      schema({ type: 'error', events: 7, trend: [0, 7], lastSeen: null }),
      schema({ source: 'app', events: 500 }),
    ],
  });
  assert.deepEqual(
    bySource(schemas).map(({ name, events, trend, lastSeen }) => [name, events, trend, lastSeen]),
    [
      ['app', 500, [60, 40], 9],
      ['web', 107, [60, 47], 9],
    ],
  );
});

test('properties that come, get rare or go are told, and those of few or new events are not', () => {
  const properties = [
    property('steady', [1, 1], 1),
    property('fresh', [null, 1], 6),
    property('rare', [1, 0.5], 1),
    property('gone', [1, 0], 1),
  ];
  const shifts = (more: object) =>
    shiftsOf(parseSchemas({ from: 5, to: 10, schemas: [schema({ properties, ...more })] }));
  assert.deepEqual(
    shifts({}).map(({ property: name, kind }) => [name, kind]),
    [
      ['fresh', 'new'],
      ['rare', 'rarer'],
      ['gone', 'gone'],
    ],
  );
  assert.deepEqual(shifts({ events: 10 }), []);
  assert.deepEqual(shifts({ firstSeen: 6 }), []);
});

test('formats are counted by source', () => {
  const events = ['ga4', 'ga4', ''].map((dialect, index) => ({ timestamp: index, type: 't', dialect, source: 'web' }));
  assert.deepEqual(formatsOf(parseEvents({ events }).events), [
    { dialect: 'ga4', source: 'web', events: 2 },
    { dialect: 'native', source: 'web', events: 1 },
  ]);
});

test('pages are shown to those to whom the server shows what is on them', () => {
  const who = (scopes: string[], hidden: string[] = []) => readWho({ kind: 'link', scopes, hidden });
  assert.ok(maySee(who(['numbers']), 'sources') && !maySee(who(['numbers']), 'events'));
  assert.ok(
    !maySee(who(['numbers', 'events'], ['money']), 'events') && !maySee(who(['numbers'], ['money']), 'sources'),
  );
  assert.ok(maySee(null, 'events'), 'until it is known, one asks and is told');
});
