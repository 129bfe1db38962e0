// Tests the time machine: the connection that plays the past, where keys lead, and what is asked of a moment.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { breakdowns } from '../src/panels/Breakdowns';
import { curvePath, sameTimeDayBefore, keyMoves } from '../src/panels/time_machine/moves';
import { Asker } from '../src/questions/asker';
import { otherDayQuestion, revenueThen } from '../src/questions/baseline';
import { catalogueQuestion, metricValuesQuestion } from '../src/questions/metrics';
import { lastHour } from '../src/questions/question';
import type { Answer } from '../src/questions/ask';
import { momentOf, momentText } from '../src/router/address';
import type { Socket } from '../src/stream/connection';
import type { Frame } from '../src/stream/frames';
import { PastConnection } from '../src/stream/playback';
import { FakeTime, settle } from './time';

const NOON = Date.UTC(2026, 10, 27, 12);
const MINUTE = 60_000;

type FakeSocket = Socket & { params: string; said: string[]; closed: boolean };

function play(from: number, speed = 0) {
  const time = new FakeTime();
  const sockets: FakeSocket[] = [];
  const world = {
    after: time.after.bind(time),
    open(params: URLSearchParams): Socket {
      const socket: FakeSocket = {
        params: params.toString(),
        said: [],
        closed: false,
        onopen: null,
        onmessage: null,
        onclose: null,
        send: (text) => void socket.said.push(text),
        close: () => void (socket.closed = true),
      };
      sockets.push(socket);
      return socket;
    },
  };
  const frames: (Frame | null)[] = [];
  let ends = 0;
  const listener = { onChange: (frame: Frame | null) => void frames.push(frame), onEnd: () => void (ends += 1) };
  const past = new PastConnection(world, listener, null, from, speed);
  const socket = () => sockets.at(-1)!;
  const send = (frame: object) => socket().onmessage?.(JSON.stringify(frame));
  const playback = (at: number, more: object = {}) => ({
    timestamp: at,
    playback: { speed: past.speed, asOf: at, resolution: '1s', ...more },
  });
  return {
    time,
    past,
    sockets,
    socket,
    ends: () => ends,
    snapshot: (seq: number, at: number, body: object = {}, more: object = {}) =>
      send({ type: 'snapshot', seq, epoch: 'e', ...playback(at, more), snapshot: { purchases: 1, ...body } }),
    delta: (seq: number, at: number, body: object = {}, more: object = {}) =>
      send({ type: 'delta', seq, counts: { purchase: 1 }, revenue: 0, ...playback(at, more), ...body }),
  };
}

test('the past is opened at its second, and is there once its snapshot is', () => {
  const { past, socket, snapshot, delta } = play(NOON + 123, 10);
  assert.equal(socket().params, `from=${NOON}&speed=10`);
  assert.deepEqual([past.moment, past.isThere, past.state], [NOON, false, null]);
  snapshot(1, NOON);
  assert.deepEqual([past.moment, past.isThere, past.state?.totals.purchases], [NOON, true, 1]);
  delta(2, NOON + 1_000);
  assert.deepEqual([past.moment, past.state?.totals.purchases], [NOON + 1_000, 2]);
});

test('while somebody drags, the last moment is said, and frames of the one before are no answer', async () => {
  const { past, time, socket, snapshot, delta } = play(NOON);
  socket().onopen?.();
  snapshot(1, NOON);
  for (let second = 1; second <= 50; second += 1) past.seek(NOON + second * 1_000);
  await time.pass(200);
  assert.deepEqual(socket().said, [JSON.stringify({ from: NOON + 50_000 })]);
  delta(2, NOON);
  assert.deepEqual([past.moment, past.isThere], [NOON + 50_000, false]);
  snapshot(3, NOON + 50_000);
  assert.deepEqual([past.moment, past.isThere], [NOON + 50_000, true]);
});

test('speeds are said; from minutes back to seconds there is a new snapshot', async () => {
  const { past, time, socket, snapshot, delta } = play(NOON);
  socket().onopen?.();
  snapshot(1, NOON);
  past.play(60);
  await time.pass(200);
  delta(2, NOON + MINUTE, { minutes: [] });
  assert.equal(past.state?.hasSeconds, false);
  past.play(0);
  await time.pass(200);
  assert.deepEqual(
    socket().said.map((text) => JSON.parse(text)),
    [{ speed: 60 }, { speed: 0, from: NOON + MINUTE }],
  );
  snapshot(3, NOON + MINUTE);
  assert.equal(past.state?.hasSeconds, true);
});

test('who was active long ago is not known, and is no zero', () => {
  const { past, snapshot, delta } = play(NOON);
  snapshot(1, NOON, { activeUsers: null, activeUsersUnknown: 'not_kept' });
  assert.equal(past.state?.activeUsers, null);
  delta(2, NOON + 1_000, { activeUsers: 7 });
  assert.equal(past.state?.activeUsers, 7);
  delta(3, NOON + 2_000, { activeUsers: null });
  assert.equal(past.state?.activeUsers, null);
});

test('one that is cut off goes on where it was; at its end there is now', async () => {
  const { past, time, sockets, socket, snapshot, delta, ends } = play(NOON, 1);
  socket().onopen?.();
  snapshot(1, NOON);
  delta(2, NOON + 1_000);
  socket().onclose?.(1011);
  assert.match(past.trouble ?? '', /lost/);
  await time.pass(3_000);
  assert.equal(socket().params, `from=${NOON + 1_000}&speed=1`);
  snapshot(1, NOON + 1_000);
  assert.equal(past.trouble, null);
  // A frame is missing, and so is one for ten seconds.
  delta(3, NOON + 3_000);
  await time.pass(3_000);
  assert.equal(sockets.length, 3);
  await time.pass(13_000);
  assert.equal(sockets.length, 4);
  snapshot(1, NOON + 1_000);
  socket().onclose?.(1000);
  assert.equal(ends(), 1);
  past.close();
  await time.pass(60_000);
  assert.equal(sockets.length, 4);
});

test('a stream of the past that is refused is said, and tried again', async () => {
  const { past, time, sockets, socket } = play(NOON);
  socket().onclose?.(1006);
  assert.match(past.trouble ?? '', /does not play the past/);
  await time.pass(3_000);
  assert.equal(sockets.length, 2);
});

test('moments of the address: to the second, and none where there is none', () => {
  assert.equal(momentText(NOON + 7_123), '2026-11-27T12:00:07Z');
  assert.equal(momentOf('2026-11-27T12:00:07Z'), NOON + 7_000);
  assert.equal(momentOf(String(NOON)), NOON);
  for (const none of [null, '', 'noon', '99999999999999999999']) assert.equal(momentOf(none), null, String(none));
});

test('keys lead by minutes, with Shift by seconds, and to the ends of the day', () => {
  assert.deepEqual([keyMoves('ArrowLeft', false), keyMoves('ArrowRight', true)], [-MINUTE, 1_000]);
  assert.deepEqual([keyMoves('PageUp', false), keyMoves('PageDown', false)], [15 * MINUTE, -15 * MINUTE]);
  assert.deepEqual([keyMoves('Home', false), keyMoves('End', false), keyMoves('a', false)], ['start', 'now', null]);
});

test('a day before is the same time by the clock, also when the clock was set meanwhile', () => {
  assert.equal(sameTimeDayBefore(NOON + 7_000, 'UTC'), NOON + 7_000 - 86_400_000);
  const monday = Date.UTC(2026, 2, 29, 10, 0);
  assert.equal(monday - sameTimeDayBefore(monday, 'Europe/Berlin'), 23 * 3_600_000);
});

test('the curve of the day ends where nothing is counted yet', () => {
  const points = new Map([0, 1, 2, 3].map((n) => [n * 250, [4, 2, null, 0][n]!]));
  const path = curvePath(points, 0, 1_000);
  assert.match(path, /^M0\.0 100L0\.0 8\.0L250\.0 54\.0L250\.0 100Z$/);
  assert.equal(curvePath(new Map([[0, 0]]), 0, 1_000), '');
  assert.equal(curvePath(null, 0, 1_000), '');
});

/** An asker of a page that shows a moment, and what it asked. */
function askerAt(moment: number | null) {
  const time = new FakeTime();
  const asked: URL[] = [];
  const shown = { moment };
  const world = {
    after: time.after.bind(time),
    now: () => NOON,
    moment: () => shown.moment,
    ask: async (path: string): Promise<Answer> => {
      const url = new URL(path, 'http://floodmark.test');
      asked.push(url);
      if (url.pathname.endsWith('/metrics')) {
        return { kind: 'ok', body: { metrics: [{ name: 'revenue', unit: 'money' }] } };
      }
      const from = Number(url.searchParams.get('from'));
      return {
        kind: 'ok',
        body: [{ timestamp: url.searchParams.get('interval') === '1d' ? NOON - 12 * 60 * MINUTE : from, count: 5 }],
      };
    },
  };
  const [breakdownsQuestion] = breakdowns.asks!;
  const asker = new Asker(
    world,
    [metricValuesQuestion, breakdownsQuestion!, catalogueQuestion, otherDayQuestion],
    () => {},
    null,
  );
  const of = (name: string) =>
    asked.filter((url) => url.pathname.endsWith(`/${name}`)).map(({ searchParams }) => searchParams);
  return { asker, asked, shown, of };
}

test('at a moment of the past everything is asked of that moment', async () => {
  const moment = NOON - 95 * MINUTE + 7_000;
  const { asker, of } = askerAt(moment);
  asker.start();
  for (let round = 0; round < 9; round += 1) await settle();
  assert.deepEqual([of('current').length, of('at')[0]?.get('time')], [0, String(moment)]);
  assert.equal(of('breakdowns')[0]?.get('to'), String(moment + 1));
  const { from, to } = lastHour(moment) as { from: string; to: string };
  assert.equal(Number(to) - Number(from), 59 * MINUTE + 7_001);
  assert.ok(of('timeseries').every((query) => Number(query.get('to')) <= moment + 1));
  // The other day up to the same moment: quarters of an hour, and minutes since the last.
  assert.equal(revenueThen(asker.answerTo(otherDayQuestion)), 10);
});

test('another moment is asked at once, and nothing of before is shown as of it', async () => {
  const { asker, asked, shown } = askerAt(null);
  asker.start();
  for (let round = 0; round < 9; round += 1) await settle();
  const before = asked.length;
  shown.moment = NOON - MINUTE;
  asker.moveOn(true);
  assert.deepEqual(asker.answerTo(metricValuesQuestion), metricValuesQuestion.initially());
  assert.ok(asked.length > before && asked.slice(before).every((url) => !url.pathname.endsWith('/metrics')));
});
