// Tests the addresses of pages, and what their queries say.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressOf, changed, isOwnPath, readAddress, withQuery, zoneOf } from '../src/router/address';

const at = (path: string) => readAddress(new URL(path, 'http://floodmark.test'));
const query = (text: string) => new URLSearchParams(text);

test('every page has its address, and what is none is said to be missing', () => {
  const pages = ['/', '/explore', '/incidents', '/events', '/sources', '/settings'].map((path) => at(path).page);
  assert.deepEqual(pages, ['now', 'explore', 'incidents', 'events', 'sources', 'settings']);
  assert.deepEqual([at('/incidents/a%2Fb').page, at('/incidents/a%2Fb').id], ['incident', 'a/b']);
  assert.equal(at('/incidents/%E0%A4%A').id, '%E0%A4%A');
  for (const path of ['/wall', '/explore/', '/Explore', '/incidents/', '/incidents/a/b', '/constructor', '/toString']) {
    assert.equal(at(path).page, 'missing', path);
  }
});

test('the settings are found where they were before they had an address', () => {
  assert.equal(at('/#access').page, 'settings');
  assert.equal(at('/explore#access').page, 'explore');
});

test('how one looks goes along from page to page, what one looks at stays', () => {
  assert.equal(addressOf('/events', query('zone=UTC&metric=revenue')), '/events?zone=UTC');
  assert.equal(addressOf('/events', query('wall')), '/events?wall');
  assert.equal(
    addressOf('/events', query('zone=Asia/Tokyo'), { session: 's 1' }),
    '/events?session=s+1&zone=Asia%2FTokyo',
  );
});

test('a change of the query leaves the rest of it', () => {
  const text = (next: URLSearchParams) => withQuery('/explore', next);
  assert.equal(text(changed(query('metric=a&range=7d'), { range: '1h' })), '/explore?metric=a&range=1h');
  assert.equal(text(changed(query('metric=a&range=7d'), { range: null, metric: '' })), '/explore');
});

test('a zone that no browser knows is none', () => {
  assert.equal(zoneOf(query('zone=Europe/Berlin')), 'Europe/Berlin');
  for (const none of ['', 'zone=', 'zone=Atlantis/Poseidonis']) assert.equal(zoneOf(query(none)), null, none);
});

test('one is led back to a path of this page only', () => {
  assert.ok(isOwnPath('/explore?metric=revenue'));
  for (const other of [null, '', 'explore', '//evil.example', '/\\evil.example', 'https://evil.example']) {
    assert.ok(!isOwnPath(other), String(other));
  }
});
