import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseFrame, type Frame } from '../src/stream/frames';
import { MINUTE_MS, SECOND_MS, lastBuckets } from '../src/stream/series';
import { applyFrame, errorRateRecent, errorRateToday, isEmpty, isHidden, type LiveState } from '../src/stream/state';

/** A full minute, so that offsets in the tests are easy to read. */
const NOON = Date.UTC(2026, 10, 27, 12, 0, 0);

function frame(value: object): Frame {
  const parsed = parseFrame(JSON.stringify(value));
  assert.ok(parsed);
  return parsed;
}

const snapshot = (body: object = {}, extra: object = {}): Frame =>
  frame({
    type: 'snapshot',
    seq: 1,
    epoch: 'e1',
    counts: {},
    revenue: 0,
    timestamp: NOON,
    snapshot: { day: '2026-11-27', timezone: 'UTC', currency: 'USD', ...body },
    ...extra,
  });

const delta = (body: object): Frame =>
  frame({ type: 'delta', seq: 2, counts: {}, revenue: 0, timestamp: NOON, ...body });

const after = (...frames: Frame[]): LiveState => {
  const state = frames.reduce<LiveState | null>(applyFrame, null);
  assert.ok(state);
  return state;
};

test('totals are the snapshot plus every delta', () => {
  const state = after(
    snapshot({ pageViews: 12, purchases: 3, revenue: 59.97, errors: 1, events: 16, activeUsers: 5 }),
    delta({ counts: { page_view: 2, purchase: 1, signup: 1 }, revenue: 19.99, activeUsers: 6 }),
    delta({ counts: { error: 1 } }),
  );
  assert.deepEqual(state.totals, { pageViews: 14, purchases: 4, errors: 2, events: 21, revenue: 799_600 });
  assert.equal(state.activeUsers, 6, 'a delta without activeUsers keeps the last one');
});

test('what is hidden is told by the snapshot, and holds until the next one', () => {
  const state = after(snapshot({ purchases: 3, revenue: 0, hidden: ['revenue', 7] }), delta({ hidden: ['revenue'] }));
  assert.ok(isHidden(state, 'revenue') && !isHidden(state, 'purchases') && !isHidden(null, 'revenue'));
  assert.ok(!isHidden(after(snapshot({ hidden: ['revenue'] }), snapshot()), 'revenue'));
});

test('a type that every object has counts as any other', () => {
  const counts: unknown = JSON.parse('{ "__proto__": 2, "constructor": 3, "page_view": 1 }');
  const state = after(snapshot({ counts, pageViews: 1 }), delta({ counts }));
  assert.equal(state.totals.events, 12);
  assert.equal(state.totals.pageViews, 2);
});

test('money adds up exactly where floats would drift', () => {
  const tenth = delta({ revenue: 0.1, seconds: [{ timestamp: NOON, counts: { purchase: 1 }, revenue: 0.1 }] });
  const state = after(snapshot(), ...Array.from({ length: 1000 }, () => tenth));
  assert.equal(state.totals.revenue, 1_000_000);
  assert.equal(lastBuckets(state.seconds, NOON, SECOND_MS, 1)[0]?.revenue, 1_000_000);
});

test('an increment of a second also counts in its minute, and one of a minute only there', () => {
  const state = after(
    snapshot({ minutes: [{ timestamp: NOON - MINUTE_MS, counts: { page_view: 10 }, revenue: 0 }] }),
    delta({
      seconds: [{ timestamp: NOON - 2 * SECOND_MS, counts: { page_view: 3 }, revenue: 0 }],
      minutes: [{ timestamp: NOON - MINUTE_MS, counts: { page_view: 4 }, revenue: 0 }],
    }),
  );
  const minutes = lastBuckets(state.minutes, NOON, MINUTE_MS, 2).map((point) => point.pageViews);
  assert.deepEqual(minutes, [17, 0]);
  const seconds = lastBuckets(state.seconds, NOON, SECOND_MS, 3).map((point) => point.pageViews);
  assert.deepEqual(seconds, [3, 0, 0]);
});

test('a snapshot replaces everything, as at midnight', () => {
  const state = after(
    snapshot({ pageViews: 100, revenue: 5, events: 100, seconds: [{ timestamp: NOON, counts: { page_view: 1 } }] }),
    snapshot({ pageViews: 1, events: 1, day: '2026-11-28' }),
  );
  assert.equal(state.day, '2026-11-28');
  assert.deepEqual(state.totals, { pageViews: 1, purchases: 0, errors: 0, events: 1, revenue: 0 });
  assert.equal(state.seconds.length, 0);
});

test('time alone moves the window and brings zeros', () => {
  const state = after(snapshot({ seconds: [{ timestamp: NOON, counts: { purchase: 2 }, revenue: 1 }] }));
  const at = (now: number) => lastBuckets(state.seconds, now, SECOND_MS, 3).map((point) => point.purchases);
  assert.deepEqual(at(NOON + 900), [0, 0, 2]);
  assert.deepEqual(at(NOON + 1_000), [0, 2, 0]);
  assert.deepEqual(at(NOON + 3_000), [0, 0, 0]);
});

test('series are bounded, however long the page is open', () => {
  let state: LiveState | null = after(snapshot());
  for (let second = 0; second < 1_000; second += 1) {
    const timestamp = NOON + second * SECOND_MS;
    const seconds = [{ timestamp, counts: { page_view: 1 }, revenue: 0 }];
    state = applyFrame(state, delta({ timestamp, activeUsers: second, seconds }));
  }
  assert.ok(state && state.seconds.length <= 71, `${state?.seconds.length} seconds`);
  assert.ok(state.activeTrail.length <= 71, `${state.activeTrail.length} samples`);
});

test('error rates: today from the totals, recent from the last five minutes', () => {
  const state = after(
    snapshot({
      errors: 5,
      events: 100,
      minutes: [
        { timestamp: NOON - 5 * MINUTE_MS, counts: { error: 50 } },
        { timestamp: NOON - 4 * MINUTE_MS, counts: { error: 1, page_view: 2 } },
        { timestamp: NOON, counts: { page_view: 1 } },
      ],
    }),
  );
  assert.equal(errorRateToday(state), 0.05);
  assert.equal(errorRateRecent(state, NOON), 0.25);
  assert.equal(errorRateRecent(state, NOON + 30 * MINUTE_MS), 0, 'nothing happened: no rate, not NaN');
});

test('empty means no event today and none in the last hour', () => {
  assert.equal(isEmpty(after(snapshot())), true);
  assert.equal(isEmpty(after(snapshot({ minutes: [{ timestamp: NOON, counts: { login: 1 } }] }))), false);
});

test('a delta before any snapshot is no state', () => assert.equal(applyFrame(null, delta({})), null));

test('what is not a frame is refused, and unknown fields are ignored', () => {
  for (const text of ['', 'null', '[]', '{"type":"delta"}', '{"type":"snapshot","seq":1,"timestamp":1}']) {
    assert.equal(parseFrame(text), null, text);
  }
  const state = after(snapshot({ alerts: [1] }), delta({ alerts: {}, behindMs: 2500, type: 'later' }));
  assert.equal(state.behindMs, 2500);
});
