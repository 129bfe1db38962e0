// Tests when the page asks its questions. The test controls time and the network.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Answer } from '../src/questions/ask';
import { Asker } from '../src/questions/asker';
import { alertsQuestion } from '../src/questions/alerts';
import { catalogueQuestion, metricValuesQuestion } from '../src/questions/metrics';
import { oneRequest, type Question } from '../src/questions/question';
import { parseFrame } from '../src/stream/frames';
import { FakeTime, settle } from './time';

interface Request {
  path: string;
  token: string | null;
  at: number;
  answer(answer: Answer): Promise<void>;
}

/** A network that answers when the test tells it to, or at once while `reply` is set. */
class FakeWorld extends FakeTime {
  requests: Request[] = [];
  reply: ((path: string) => Answer) | null = () => ok([]);

  ask = (path: string, token: string | null): Promise<Answer> =>
    new Promise((resolve) => {
      const answer = (value: Answer) => {
        resolve(value);
        return settle();
      };
      this.requests.push({ path, token, at: this.time, answer });
      if (this.reply) resolve(this.reply(path));
    });

  paths = () => this.requests.map(({ path }) => path);
  timesOf = (path: string) => this.requests.filter((request) => request.path.includes(path)).map(({ at }) => at);
}

const ok = (body: unknown): Answer => ({ kind: 'ok', body });

const simple = (path: string, everyMs: number) =>
  oneRequest<unknown>({ path, everyMs, initially: 'nothing', parse: (body) => body });

function start(questions: Question<any>[], token: string | null = null) {
  const world = new FakeWorld();
  const asker = new Asker(world, questions, () => {}, token);
  return { world, asker };
}

const firingFrame = (...names: string[]) =>
  parseFrame(
    JSON.stringify({ type: 'delta', seq: 2, timestamp: 1, alerts: { firing: names.map((name) => ({ name })) } }),
  )!;

test('every question has its own pace, from the end of one round to the next', async () => {
  const { world, asker } = start([simple('a', 1_000), simple('b', 2_500)], 'secret');
  asker.start();
  await world.pass(5_000);
  assert.deepEqual(world.timesOf('/a?'), [0, 1_000, 2_000, 3_000, 4_000, 5_000]);
  assert.deepEqual(world.timesOf('/b?'), [0, 2_500, 5_000]);
  assert.ok(world.requests.every(({ token }) => token === 'secret'));
  assert.equal(world.paths()[0], '/api/analytics/a?');
});

test('no question is asked twice at a time, however slow the answer', async () => {
  const question = simple('slow', 1_000);
  const { world, asker } = start([question]);
  world.reply = null;
  asker.start();
  await world.pass(10_000);
  assert.equal(world.requests.length, 1);
  await world.requests[0]!.answer(ok(7));
  assert.equal(asker.answerTo(question), 7);
  await world.pass(999);
  assert.equal(world.requests.length, 1);
  await world.pass(1);
  assert.equal(world.requests.length, 2);
});

test('a stop ends the asking and drops what is under way; a start asks at once', async () => {
  const question = simple('a', 1_000);
  const { world, asker } = start([question]);
  world.reply = null;
  asker.start();
  asker.stop();
  await world.requests[0]!.answer(ok('late'));
  await world.pass(5_000);
  assert.equal(world.requests.length, 1);
  assert.equal(asker.answerTo(question), 'nothing');
  asker.start();
  asker.start();
  assert.equal(world.requests.length, 2);
});

test('a failure keeps the last answer; what is unknown is kept or taken back, as the question says', async () => {
  const kept = simple('kept', 1_000);
  const gone = oneRequest<unknown>({ path: 'gone', everyMs: 1_000, initially: 0, parse: () => 1, whenUnknown: null });
  const { world, asker } = start([kept, gone]);
  asker.start();
  await world.pass(0);
  world.reply = () => ({ kind: 'failed' });
  await world.pass(1_000);
  assert.deepEqual([asker.answerTo(kept), asker.answerTo(gone)], [[], 1]);
  world.reply = () => ({ kind: 'unknown' });
  await world.pass(1_000);
  assert.deepEqual([asker.answerTo(kept), asker.answerTo(gone)], [[], null]);
});

test('what a question needs is asked first, also when no panel lists it', async () => {
  const first = simple('first', 60_000);
  const second: Question<unknown> = { ...simple('second', 1_000), needs: first };
  const { world, asker } = start([second]);
  world.reply = null;
  asker.start();
  await world.pass(3_000);
  assert.deepEqual(world.paths(), ['/api/analytics/first?']);
  await world.requests[0]!.answer({ kind: 'failed' });
  assert.deepEqual(world.paths(), ['/api/analytics/first?', '/api/analytics/second?']);
});

test('a stop while a needed question is asked begins nothing behind its back', async () => {
  const first = simple('first', 60_000);
  const second: Question<unknown> = { ...simple('second', 1_000), needs: first };
  const { world, asker } = start([first, second]);
  world.reply = null;
  asker.start();
  asker.stop();
  asker.start();
  await world.requests[0]!.answer(ok(1));
  assert.deepEqual(world.paths(), ['/api/analytics/first?', '/api/analytics/first?']);
  await world.requests[1]!.answer(ok(2));
  assert.deepEqual(world.paths().slice(2), ['/api/analytics/second?']);
});

test('another choice is asked at once, and the answer to the one before is dropped', async () => {
  const question: Question<string> = {
    initially: () => 'yesterday',
    everyMs: 10_000,
    async round({ ask, known }) {
      const choice = known();
      const answer = await ask('series', { baseline: choice });
      return answer.kind === 'ok' ? `${choice}: ${answer.body}` : choice;
    },
  };
  const { world, asker } = start([question]);
  world.reply = null;
  asker.start();
  asker.startOver(question, 'last_week');
  assert.deepEqual(world.paths(), [
    '/api/analytics/series?baseline=yesterday',
    '/api/analytics/series?baseline=last_week',
  ]);
  await world.requests[1]!.answer(ok(2));
  await world.requests[0]!.answer(ok(1));
  assert.equal(asker.answerTo(question), 'last_week: 2');
  await world.pass(10_000);
  assert.equal(world.requests.length, 3);
});

test('alerts are asked every 2 s, until the stream says what fires', async () => {
  const { world, asker } = start([alertsQuestion]);
  world.reply = () => ok({ firing: [{ name: 'asked' }], history: [] });
  asker.start();
  await world.pass(4_000);
  assert.deepEqual(world.timesOf('alerts'), [0, 2_000, 4_000]);
  assert.deepEqual(
    asker.answerTo(alertsQuestion).firing.map(({ name }) => name),
    ['asked'],
  );
  asker.hear(firingFrame('heard'));
  await world.pass(70_000);
  assert.deepEqual(world.timesOf('alerts').slice(3), [4_000, 6_500, 66_500], 'at once, a little later, then rarely');
  assert.deepEqual(
    asker.answerTo(alertsQuestion).firing.map(({ name }) => name),
    ['heard'],
    'the stream knows it better',
  );
});

test('a frame that comes before the start is heard, and nothing is asked', async () => {
  const { world, asker } = start([alertsQuestion, catalogueQuestion, metricValuesQuestion]);
  asker.hear(firingFrame('early'));
  await world.pass(60_000);
  assert.deepEqual(world.requests, []);
  assert.equal(asker.answerTo(alertsQuestion).firing[0]?.name, 'early');
});

test('a frame while alerts are being asked brings one more round, right after it', async () => {
  const { world, asker } = start([alertsQuestion]);
  world.reply = null;
  asker.start();
  asker.hear(firingFrame('now'));
  assert.equal(world.requests.length, 1);
  await world.requests[0]!.answer(ok({ firing: [], history: [] }));
  await world.pass(0);
  assert.equal(world.requests.length, 2);
  assert.equal(asker.answerTo(alertsQuestion).firing[0]?.name, 'now');
});

test('a token is sent from the next start on', async () => {
  const { world, asker } = start([simple('a', 1_000)]);
  asker.start();
  asker.useToken('t');
  await world.pass(5_000);
  assert.equal(world.requests.length, 1);
  asker.start();
  assert.equal(world.requests[1]?.token, 't');
});
