// The browser's side of connection.ts: WebSocket, fetch, timers.

import type { Socket, World } from './connection';

/** The name of the frames' format. A server answers it; it never answers the token beside it. */
const PROTOCOL = 'floodmark.v1';

/**
 * The subprotocols to ask for. A page can't set headers of a WebSocket, and an address is written down by
 * servers, proxies and browsers, so the token goes as a subprotocol: as base64url, since a subprotocol may
 * not have every character.
 */
export function subprotocols(token: string | null): string[] {
  if (!token) return [PROTOCOL];
  const bytes = String.fromCharCode(...new TextEncoder().encode(token));
  const encoded = btoa(bytes).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
  return [PROTOCOL, `floodmark.token.${encoded}`];
}

function openSocket(params: URLSearchParams, token: string | null): Socket {
  const url = new URL('/api/analytics/stream', location.href);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  url.search = params.toString();

  const raw = new WebSocket(url, subprotocols(token));
  const socket: Socket = {
    onopen: null,
    onmessage: null,
    onclose: null,
    send: (text) => raw.send(text),
    close: () => raw.close(),
  };
  raw.onopen = () => socket.onopen?.();
  raw.onmessage = (event) => {
    if (typeof event.data === 'string') socket.onmessage?.(event.data);
  };
  // An error is always followed by a close, which is the one that counts.
  raw.onclose = (event) => socket.onclose?.(event.code);
  return socket;
}

async function probe(token: string | null, timeoutMs: number): Promise<'ok' | 'unauthorized' | 'unreachable'> {
  try {
    const response = await fetch('/api/analytics/current', {
      headers: token ? { Authorization: `Bearer ${token}` } : {},
      cache: 'no-store',
      signal: AbortSignal.timeout(timeoutMs),
    });
    if (response.status === 401 || response.status === 403) return 'unauthorized';
    return response.ok ? 'ok' : 'unreachable';
  } catch {
    return 'unreachable';
  }
}

export const browserWorld: World = {
  open: openSocket,
  probe,
  now: () => Date.now(),
  random: () => Math.random(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
};
