// Flags: which marks a chart shows, and what a bar is told of them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Json } from '../src/json';
import type { View } from '../src/live';
import { framesLack } from '../src/questions/marks';
import { flagsIn, titlesAt } from '../src/charts/flags';
import { parseFrame } from '../src/stream/frames';
import { applyFrame } from '../src/stream/state';

const mark = (title: string, time: number, until: number | null = null) => ({ id: title, title, time, until });

test('a chart shows the marks that reach into its range, the oldest first', () => {
  const marks = [mark('new', 300), mark('old', 100), mark('sale', 50, 150), mark('gone', 10, 99), mark('next', 400)];
  const titles = flagsIn(marks, 100, 400).map(({ title }) => title);
  assert.deepEqual(titles, ['sale', 'old', 'new']);
  assert.equal(titlesAt(marks, 100, 200), ', old', 'a bar is told what began in it');
  assert.equal(titlesAt(marks, 200, 300), '');
});

test('marks stand until a frame says otherwise', () => {
  const frame = (rest: object) => parseFrame(JSON.stringify({ seq: 1, timestamp: 1, ...rest }))!;
  const told = { marks: { version: 1, recent: [mark('deploy', 5)] } };
  let state = applyFrame(null, frame({ type: 'snapshot', snapshot: {}, ...told }));
  state = applyFrame(state, frame({ type: 'delta' }));
  assert.deepEqual(
    state?.marks.map(({ title }) => title),
    ['deploy'],
  );
  state = applyFrame(state, frame({ type: 'delta', marks: { version: 2, recent: [] } }));
  assert.deepEqual(state?.marks, []);
  assert.deepEqual(applyFrame(null, frame({ type: 'snapshot', snapshot: {} }))?.marks, [], 'of an older server');
});

test('marks are asked for where frames may lack them', () => {
  const noon = 1_795_521_600_000;
  const lacks = (from: number, marks: Json[], past: object | null = null) =>
    framesLack({ state: { marks }, past, asOf: noon } as unknown as View, from);
  const hourAgo = noon - 3_600_000;
  assert.equal(lacks(hourAgo, []), false, 'frames have the last day');
  assert.equal(lacks(noon - 25 * 3_600_000, []), true);
  assert.equal(lacks(hourAgo, [], {}), true, 'frames of the past have none');
  assert.equal(lacks(0, [], {}), false, 'nothing is drawn yet');
  const many = Array.from({ length: 30 }, (_, n) => mark(`${n}`, noon - n * 60_000));
  assert.equal(lacks(hourAgo, many), true, 'frames have the last 30');
  assert.equal(lacks(noon - 20 * 60_000, many), false);
});
