// Requests by which people sign in and give access: small JSON objects there and back. A session is in a
// cookie that no script reads; a viewer token, where this browser has one, goes along as a header.

import { isObject, number, objects, string, strings, type Json } from '../json';

/** A request that takes longer has failed. A password takes the server a while, by intention. */
const TIMEOUT_MS = 15_000;

export interface Reply {
  /** 0: there was no answer. */
  status: number;
  body: Json;
  /** The objects of an answer that is a list. */
  rows: Json[];
  /** How long to wait where there were too many attempts, in seconds. */
  waitS: number;
}

/** Asks, or posts `body` where there is one. */
export async function call(path: string, token: string | null, body?: Json): Promise<Reply> {
  const headers: Record<string, string> = token ? { Authorization: `Bearer ${token}` } : {};
  if (body) headers['Content-Type'] = 'application/json';
  try {
    const response = await fetch(path, {
      headers,
      cache: 'no-store',
      signal: AbortSignal.timeout(TIMEOUT_MS),
      ...(body && { method: 'POST', body: JSON.stringify(body) }),
    });
    const answer: unknown = await response.json().catch(() => null);
    const waitS = number(Number(response.headers.get('Retry-After')));
    return { status: response.status, body: isObject(answer) ? answer : {}, rows: objects(answer), waitS };
  } catch {
    return { status: 0, body: {}, rows: [], waitS: 0 };
  }
}

/** The code of a refusal; empty for an answer that is none. */
export const codeOf = ({ body }: Reply): string => (isObject(body.error) ? string(body.error.code, '') : '');

/** Why a request was refused, for whoever made it. */
export function refusalWords(reply: Reply): string {
  if (reply.status === 0) return 'The server does not answer. Try again in a moment.';
  switch (codeOf(reply)) {
    case 'wrong_credentials':
      return 'This is not right. Check what you typed.';
    case 'too_many_attempts':
      return `Too many wrong attempts. Try again in ${reply.waitS} s.`;
    case 'unauthorized':
      return 'You are not signed in any more.';
  }
  const message = isObject(reply.body.error) ? string(reply.body.error.message, '') : '';
  return message ? `${message.charAt(0).toUpperCase()}${message.slice(1)}.` : 'The server refused this.';
}

const NOT_IN: Record<string, string> = {
  expired: 'That took too long, or began in another browser. Sign in again.',
  refused: 'You did not sign in there.',
  unavailable: 'Signing in there does not work just now. Try again in a moment.',
  wrong_token: 'What came back from there is not right. Sign in again.',
  no_role: 'You are not one of those who may look at this dashboard. Ask who runs it.',
  not_taken: 'Another user here has your name, or there are too many. Ask who runs this dashboard.',
  braked: 'Too many wrong attempts. Try again in a while.',
};

/** Why somebody who came back from the OpenID provider is not in. */
export const notInWords = (code: string): string => NOT_IN[code] ?? 'You could not be signed in.';

/** Who one is to the server (`GET /api/session`). */
export interface Who {
  kind: string;
  name: string;
  role: string;
  scopes: string[];
  /** What is kept from the visitor: `money`. */
  hidden: string[];
}

export function readWho(body: Json): Who {
  const scopes = Array.isArray(body.scopes) ? body.scopes.map(String) : [];
  const [kind, name, role] = [string(body.kind, ''), string(body.name, ''), string(body.role, '')];
  return { kind, name, role, scopes, hidden: strings(body.hidden) };
}

/** What the pages show that not everybody may see: single events and refused ones, and what is known of sources. */
export type Sight = 'events' | 'letters' | 'sources';

/** Whether the server shows this. Until it is known who one is, the page asks and is told. */
export function maySee(who: Who | null, sight: Sight): boolean {
  if (who === null) return true;
  // Those from whom money is hidden see nothing that may have amounts in it.
  return !who.hidden.includes('money') && who.scopes.includes(sight === 'sources' ? 'numbers' : sight);
}

/** How one may enter (`GET /api/login/ways`). */
export interface Ways {
  /** There are users with a name and a password. */
  password: boolean;
  /** What the OpenID provider is called at which one signs in; empty where there is none. */
  oidc: string;
}

export const readWays = (body: Json): Ways => ({
  password: body.password === true,
  oidc: string(body.oidc, ''),
});

/** An identity as the server lists it: what it has depends on its kind. */
export type Identity = Json & { id: string; name: string };

export const readIdentities = (list: unknown): Identity[] =>
  objects(list).map((it) => ({ ...it, id: string(it.id, ''), name: string(it.name, '') }));
