// The token leaves the address, and goes to the server as a subprotocol.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { subprotocols } from '../src/stream/browser';
import { splitAddress } from '../src/token';

test('a token is taken out of the address, and nothing else is', () => {
  const base = 'https://shop.example/';
  for (const [address, token, rest] of [
    [`${base}#token=abc`, 'abc', base],
    [`${base}?token=abc`, 'abc', base],
    [`${base}?a=1&token=a%2Fb&b=2`, 'a/b', `${base}?a=1&b=2`],
    [`${base}?token=old#token=new&view=wall`, 'new', `${base}#view=wall`],
    [`${base}?token=`, '', base],
  ]) {
    assert.deepEqual(splitAddress(address!), { token, rest }, address);
  }
  assert.deepEqual(splitAddress(`${base}#link=fm_ln_1&token=t`, 'link'), { token: 'fm_ln_1', rest: `${base}#token=t` });
  for (const address of [base, `${base}?tokens=1`, `${base}#revenue`]) {
    assert.equal(splitAddress(address), null, address);
  }
});

test('a token of any characters is a subprotocol of plain ones', () => {
  assert.deepEqual(subprotocols(null), ['floodmark.v1']);
  assert.deepEqual(subprotocols('watcher'), ['floodmark.v1', 'floodmark.token.d2F0Y2hlcg']);
  const [, encoded] = subprotocols('ü?>~ß, "x"');
  assert.match(encoded!, /^floodmark\.token\.[A-Za-z0-9_-]+$/);
  const text = Buffer.from(encoded!.slice('floodmark.token.'.length), 'base64url').toString('utf8');
  assert.equal(text, 'ü?>~ß, "x"');
});
