// Tests the list of panels: what must hold for every panel, and what follows from their declarations.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { View } from '../src/live';
import { frontPage } from '../src/panels';
import { furtherMetrics } from '../src/panels/More';
import { metricsOn, panelsAt, questionsOf, warningsOf, type Panel, type Place } from '../src/panels/panel';
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

test('no metric of a panel is repeated under More', () => {
  const placed = metricsOn(frontPage);
  const named = [
    ...['events', 'page_views', 'sessions', 'purchases', 'revenue', 'refunds', 'net_revenue', 'average_order_value'],
    ...['conversion', 'errors', 'error_rate', 'checkout_errors', 'checkout_error_rate'],
  ];
  assert.deepEqual(
    named.filter((name) => !placed.has(name)),
    [],
  );
});

test('an empty shop is told how to send an event, in place of its charts', () => {
  const charts = ['today', 'hour', 'breakdowns'];
  const shownOf = (ids: string[], state: View['state']) => at('board', state).filter((id) => ids.includes(id));
  for (const state of [null, snapshotOf({ events: 1 })]) {
    assert.deepEqual(shownOf(['revenue', 'figures', 'first-event', ...charts], state), [
      'revenue',
      'figures',
      ...charts,
    ]);
    assert.ok(at('notes', state).includes('more'));
  }
  const empty = snapshotOf({});
  assert.deepEqual(shownOf(['revenue', 'figures', 'first-event', ...charts], empty), [
    'revenue',
    'figures',
    'first-event',
  ]);
  assert.ok(at('notes', empty).includes('alert-history') && !at('notes', empty).includes('more'));
  assert.ok(at('top', empty).includes('alert-banner'));
});

test('what follows from declarations, for a page of three panels', () => {
  const panel = (id: string, more: Partial<Panel>): Panel => ({
    id,
    place: 'board',
    shownIn: 'every shop',
    Content: () => null,
    ...more,
  });
  const page = [
    panel('a', { metrics: ['revenue'], asks: [alertsQuestion] }),
    panel('b', { metrics: ['errors'], asks: [alertsQuestion], place: 'notes' }),
    panel('c', {}),
  ];
  assert.deepEqual([...metricsOn(page)], ['revenue', 'errors']);
  assert.deepEqual(questionsOf(page), [alertsQuestion]);
  const catalogue = {
    metrics: [
      { name: 'errors', unit: 'count' as const, byDayOnly: false },
      { name: 'own', unit: 'ratio' as const, byDayOnly: false },
    ],
    breakdowns: [],
  };
  assert.deepEqual(furtherMetrics(catalogue, page), [{ name: 'own', unit: 'ratio', byDayOnly: false }]);
});

test('the title is warned by the panels that have something to warn of', () => {
  const view = (firing: object[]) =>
    ({
      answerTo: () => ({ ...NO_ALERTS, firing: parseFiring(firing as Record<string, unknown>[]) }),
    }) as unknown as View;
  assert.deepEqual(warningsOf(frontPage, view([])), []);
  assert.deepEqual(warningsOf(frontPage, view([{ name: 'many_errors', severity: 'critical' }])), ['⚠ Many errors']);
});
