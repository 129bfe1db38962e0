import assert from 'node:assert/strict';
import { test } from 'node:test';
import { changeWords, readAuditLine } from '../src/access/settings/changes';

/** A line of the audit as a sentence, and what else there is to say. */
function told(line: Record<string, unknown>): [string, string] {
  const read = readAuditLine(line);
  const { before, after, more } = changeWords(read);
  return [[read.actor, before, read.name, after].filter(Boolean).join(' '), more.join(' · ')];
}

test('the audit in words: every action of the server', () => {
  const lines: [Record<string, unknown>, string, string][] = [
    [
      { action: 'add', kind: 'key', name: 'web', detail: { public: true, source: 'web', ids: ['7'], expiresAt: null } },
      'user alice made the write key web',
      'for pages and apps · source web · ids 7',
    ],
    [
      {
        action: 'add',
        kind: 'link',
        name: 'tv',
        detail: { hasPassword: false, hidden: ['money'], expiresAt: 43_200_000 },
      },
      'user alice made the link tv',
      'without a password · sees no money · until Jan 1, 1970',
    ],
    [{ action: 'revoke', kind: 'token', name: 'ci', detail: null }, 'user alice revoked the token ci', ''],
    [
      { action: 'role', kind: 'user', name: 'bob', detail: { role: 'viewer', sees_money: false } },
      'user alice gave the user bob the role viewer',
      'sees no money',
    ],
    [{ action: 'password', kind: 'user', name: 'bob' }, 'user alice gave the user bob another password', ''],
    [
      { action: 'logout', kind: 'user', name: 'bob', detail: { sessions: 'all' } },
      'user alice ended all sessions of the user bob',
      '',
    ],
    [
      { action: 'logout', kind: 'user', name: 'bob', detail: { sessions: 'this one' } },
      'user alice ended a session of the user bob',
      '',
    ],
    [{ action: 'renamed', kind: 'user', name: 'bob' }, 'user alice renamed: the user bob', ''],
  ];
  for (const [line, sentence, more] of lines) {
    assert.deepEqual(told({ version: 1, at: 2, actor: 'user alice', ...line }), [sentence, more]);
  }
  assert.deepEqual(readAuditLine({}).actor, 'somebody');
});
