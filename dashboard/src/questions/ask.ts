// One question to the server over HTTP, with the viewer token as the stream has it.

import { isObject, string } from '../json';

/** A request that takes longer has failed. */
const TIMEOUT_MS = 8_000;

export type Answer =
  /** `total`: what the values of a breakdown are shares of, where the answer says it. */
  | { kind: 'ok'; body: unknown; total?: number }
  /** The server does not know what was asked for (400, 404), and won't in a moment either. */
  | { kind: 'unknown'; message?: string }
  /** No answer this time. `message` is what the server says of it, where it says anything. */
  | { kind: 'failed'; message?: string };

export async function ask(path: string, token: string | null): Promise<Answer> {
  try {
    const response = await fetch(path, {
      headers: token ? { Authorization: `Bearer ${token}` } : {},
      cache: 'no-store',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (response.ok) return { kind: 'ok', body: await response.json(), ...totalOf(response.headers) };
    const kind = response.status === 400 || response.status === 404 ? 'unknown' : 'failed';
    const refusal: unknown = await response.json().catch(() => null);
    const error = isObject(refusal) && isObject(refusal.error) ? refusal.error : {};
    return { kind, message: string(error.message, `the server answers ${response.status}`) };
  } catch {
    return { kind: 'failed' };
  }
}

function totalOf(headers: Headers): { total?: number } {
  const total = headers.get('X-Floodmark-Total');
  return total === null ? {} : { total: Number(total) };
}
