// The audit in words: who has changed what about those who may send and look.

import { isObject, number, numberOrNull, string, type Json } from '../../json';
import { KINDS } from './kinds';

/** One line of the audit. */
export interface AuditLine {
  /** Grows with each line; lines before it have a smaller one. */
  version: number;
  /** Unix ms. */
  at: number;
  /** `user alice`, `token ci`, `command line (root)`. */
  actor: string;
  action: string;
  kind: string;
  name: string;
  detail: Json;
}

export const readAuditLine = (line: Json): AuditLine => ({
  version: number(line.version),
  at: number(line.at),
  actor: string(line.actor, 'somebody'),
  action: string(line.action, 'change'),
  kind: string(line.kind, ''),
  name: string(line.name, ''),
  detail: isObject(line.detail) ? line.detail : {},
});

/** What was done, around the name: `made the user` alice, `gave the user` alice `the role viewer`. */
export interface ChangeWords {
  before: string;
  after: string;
  /** What else there is to say. */
  more: string[];
}

export function changeWords({ action, kind, name, detail }: AuditLine): ChangeWords {
  const what = kind === 'key' ? 'write key' : kind;
  switch (action) {
    case 'add': {
      const words = KINDS.find((it) => it.kind === kind)?.words({ ...detail, id: '', name }) ?? [];
      const end = numberOrNull(detail.expiresAt);
      const until = end === null ? [] : [`until ${DAY_FORMAT.format(end)}`];
      return { before: `made the ${what}`, after: '', more: [...words, ...until].filter(Boolean) };
    }
    case 'revoke':
      return { before: `revoked the ${what}`, after: '', more: [] };
    case 'role': {
      const more = detail.sees_money === false ? ['sees no money'] : [];
      return { before: `gave the ${what}`, after: `the role ${string(detail.role, '')}`, more };
    }
    case 'password':
      return { before: `gave the ${what}`, after: 'another password', more: [] };
    case 'logout': {
      const which = detail.sessions === 'all' ? 'all sessions' : 'a session';
      return { before: `ended ${which} of the ${what}`, after: '', more: [] };
    }
  }
  // A newer server has actions that this page does not know.
  return { before: `${action}: the ${what}`, after: '', more: [] };
}

const DAY_FORMAT = new Intl.DateTimeFormat('en', { dateStyle: 'medium' });
