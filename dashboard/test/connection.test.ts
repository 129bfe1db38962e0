// Tests the state machine of the connection. The test controls time, chance and the network.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Connection, type Link, type Socket, type World } from '../src/stream/connection';
import { FakeTime, settle } from './time';

type Probe = Awaited<ReturnType<World['probe']>>;

class FakeWorld extends FakeTime implements World {
  sockets: (Socket & { params: string; token: string | null; closed: boolean })[] = [];
  probes: (string | null)[] = [];
  answer: Probe = 'ok';

  open(params: URLSearchParams, token: string | null): Socket {
    const socket = {
      params: params.toString(),
      token,
      closed: false,
      onopen: null,
      onmessage: null,
      onclose: null,
      send: () => {},
      close: () => void (socket.closed = true),
    };
    this.sockets.push(socket);
    return socket;
  }

  async probe(token: string | null): Promise<Probe> {
    this.probes.push(token);
    return this.answer;
  }

  random = () => 0.5;
}

async function start(token: string | null = null, answer: Probe = 'ok') {
  const world = new FakeWorld();
  world.answer = answer;
  const links: Link[] = [];
  const seqs: number[] = [];
  const connection = new Connection(
    world,
    { onLink: (link) => links.push(link), onFrame: (frame) => seqs.push(frame.seq) },
    token,
  );
  connection.start();
  await settle();
  return {
    world,
    connection,
    seqs,
    link: () => links.at(-1),
    socket: () => world.sockets.at(-1)!,
    snapshot(seq: number) {
      this.socket().onopen?.();
      this.socket().onmessage?.(`{"type":"snapshot","seq":${seq},"epoch":"e","timestamp":1,"snapshot":{}}`);
    },
    delta(seq: number) {
      this.socket().onmessage?.(`{"type":"delta","seq":${seq},"counts":{},"revenue":0,"timestamp":1}`);
    },
  };
}

test('live with the first frame, not before', async () => {
  const page = await start();
  assert.equal(page.world.sockets.length, 1);
  page.socket().onopen?.();
  assert.equal(page.link(), undefined);
  page.snapshot(7);
  assert.equal(page.link()?.kind, 'live');
});

test('a closed connection resumes after the last frame seen', async () => {
  const page = await start('t');
  page.snapshot(7);
  page.delta(8);
  page.socket().onclose?.(1001);
  assert.deepEqual(page.link(), { kind: 'reconnecting', attempt: 1, retryAt: 188, why: 'ended' });
  await page.world.pass(200);
  assert.equal(page.socket().params, 'resume=e%3A8');
  assert.equal(page.socket().token, 't');
  page.socket().onopen?.();
  page.delta(9);
  assert.equal(page.link()?.kind, 'live');
  assert.deepEqual(page.seqs, [7, 8, 9]);
});

test('a gap in seq is never added up: new connection, without resume', async () => {
  const page = await start();
  page.snapshot(7);
  page.delta(9);
  assert.deepEqual(page.seqs, [7]);
  assert.equal(page.world.sockets[0]?.closed, true);
  await page.world.pass(5_000);
  assert.equal(page.socket().params, '');
});

test('3 s of silence is stale, a frame makes it live again, 10 s is a dead socket', async () => {
  const page = await start();
  page.snapshot(1);
  await page.world.pass(3_000);
  assert.equal(page.link()?.kind, 'stale');
  page.delta(2);
  assert.equal(page.link()?.kind, 'live');
  await page.world.pass(9_999);
  assert.equal(page.link()?.kind, 'stale');
  await page.world.pass(1);
  assert.equal(page.link()?.kind, 'reconnecting');
});

test('waits grow to 5 s at most, and begin anew after a good connection', async () => {
  const page = await start(null, 'unreachable');
  const waits: number[] = [];
  for (let attempt = 0; attempt < 8; attempt += 1) {
    const link = page.link();
    assert.ok(link?.kind === 'reconnecting' && link.retryAt !== null);
    const wait = link.retryAt - page.world.time;
    waits.push(wait);
    if (attempt === 7) page.world.answer = 'ok';
    await page.world.pass(wait);
  }
  assert.deepEqual(waits, [188, 375, 750, 1500, 3000, 3750, 3750, 3750]);
  page.snapshot(1);
  for (let seq = 2; seq < 8; seq += 1) {
    await page.world.pass(1_000);
    page.delta(seq);
  }
  page.socket().onclose?.(1006);
  assert.deepEqual(page.link(), { kind: 'reconnecting', attempt: 1, retryAt: page.world.time + 188, why: 'ended' });
});

test('too slow (1013) comes back later than a lost connection', async () => {
  const page = await start();
  page.snapshot(1);
  page.socket().onclose?.(1013);
  assert.deepEqual(page.link(), { kind: 'reconnecting', attempt: 1, retryAt: 3_750, why: 'ended' });
});

test('a reconnecting link says why there is no stream', async () => {
  const why = (page: Awaited<ReturnType<typeof start>>) => {
    const link = page.link();
    return link?.kind === 'reconnecting' && link.why;
  };
  assert.equal(why(await start(null, 'unreachable')), 'no answer');
  const refused = await start();
  // A handshake that a proxy does not pass on ends before the socket has opened.
  refused.socket().onclose?.(1006);
  assert.equal(why(refused), 'stream refused');
  const ended = await start();
  ended.socket().onopen?.();
  ended.socket().onclose?.(1001);
  assert.equal(why(ended), 'ended');
});

test('waking up tries at once while waiting, and drops a socket gone silent', async () => {
  const page = await start();
  page.snapshot(1);
  page.socket().onclose?.(1006);
  page.connection.wake();
  await settle();
  assert.equal(page.world.sockets.length, 2);
  page.delta(2);
  page.world.time += 60_000; // asleep: no timer ran
  page.connection.wake();
  await page.world.pass(0);
  assert.equal(page.world.sockets.length, 3);
});

test('401 asks for a token, a wrong one says so, a right one connects', async () => {
  const page = await start(null, 'unauthorized');
  assert.deepEqual(page.link(), { kind: 'unauthorized', refused: false });
  page.connection.useToken('wrong');
  await settle();
  assert.deepEqual(page.link(), { kind: 'unauthorized', refused: true });
  page.world.answer = 'ok';
  page.connection.useToken('right');
  await settle();
  assert.equal(page.socket().params, '');
  assert.equal(page.socket().token, 'right');
  assert.deepEqual(page.world.probes, [null, 'wrong', 'right']);
});

test('a refused handshake is asked about over HTTP, a lost connection is not', async () => {
  const page = await start();
  page.snapshot(1);
  page.socket().onclose?.(1006);
  await page.world.pass(200);
  assert.equal(page.world.probes.length, 1);
  page.socket().onclose?.(1006);
  await page.world.pass(400);
  assert.equal(page.world.probes.length, 2);
});
