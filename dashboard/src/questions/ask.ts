// One question to the server over HTTP, with the viewer token as the stream has it.

/** A request that takes longer has failed. */
const TIMEOUT_MS = 8_000;

export type Answer =
  | { kind: 'ok'; body: unknown }
  /** The server does not know what was asked for (400, 404), and won't in a moment either. */
  | { kind: 'unknown' }
  /** No answer this time. */
  | { kind: 'failed' };

export async function ask(path: string, token: string | null): Promise<Answer> {
  try {
    const response = await fetch(path, {
      headers: token ? { Authorization: `Bearer ${token}` } : {},
      cache: 'no-store',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (response.ok) return { kind: 'ok', body: await response.json() };
    return { kind: response.status === 400 || response.status === 404 ? 'unknown' : 'failed' };
  } catch {
    return { kind: 'failed' };
  }
}
