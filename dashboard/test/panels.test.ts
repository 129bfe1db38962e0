// The list of panels: what holds for every one of them, and what follows from their declarations.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { View } from '../src/live';
import { frontPage } from '../src/panels';
import { metricsOn, panelsAt, questionsOf, warningsOf, type Place } from '../src/panels/panel';
import { alertsQuestion, NO_ALERTS, parseFiring } from '../src/questions/alerts';
import { parseFrame } from '../src/stream/frames';
import { applyFrame } from '../src/stream/state';

const snapshotOf = (body: object) =>
  applyFrame(null, parseFrame(JSON.stringify({ type: 'snapshot', seq: 1, timestamp: 1, snapshot: body }))!);

const at = (place: Place, state: View['state']) =>
  panelsAt(frontPage, place, { state } as Partial<View> as View).map(({ id }) => id);

test('every panel has a name of its own', () => {
  const ids = frontPage.map(({ id }) => id);
  assert.deepEqual(ids, [...new Set(ids)]);
});

test('a question that several panels share is asked once', () => {
  const questions = questionsOf(frontPage);
  assert.equal(questions.length, new Set(questions).size);
  assert.equal(questions.filter((question) => question === alertsQuestion).length, 1);
});

test('the metrics that have a place on the page', () => {
  assert.deepEqual([...metricsOn(frontPage)].sort(), [
    'average_order_value',
    'checkout_error_rate',
    'checkout_errors',
    'conversion',
    'error_rate',
    'errors',
    'events',
    'net_revenue',
    'page_views',
    'purchases',
    'refunds',
    'revenue',
    'sessions',
  ]);
});

test('an empty shop is told how to send an event, in place of its charts', () => {
  const withEvents = ['revenue', 'figures', 'today', 'hour', 'breakdowns'];
  assert.deepEqual(at('board', null), withEvents, 'until the first snapshot');
  assert.deepEqual(at('board', snapshotOf({ events: 1 })), withEvents);
  assert.deepEqual(at('board', snapshotOf({})), ['revenue', 'figures', 'first-event']);
  assert.deepEqual(at('notes', snapshotOf({ events: 1 })), ['alert-history', 'more']);
  assert.deepEqual(at('notes', snapshotOf({})), ['alert-history']);
  assert.deepEqual(at('top', snapshotOf({})), ['alert-banner']);
});

test('the title is warned by the panels that have something to warn of', () => {
  const view = (firing: object[]) =>
    ({
      answerTo: () => ({ ...NO_ALERTS, firing: parseFiring(firing as Record<string, unknown>[]) }),
    }) as unknown as View;
  assert.deepEqual(warningsOf(frontPage, view([])), []);
  assert.deepEqual(warningsOf(frontPage, view([{ name: 'many_errors', severity: 'critical' }])), ['⚠ Many errors']);
});
