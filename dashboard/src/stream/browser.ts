// The browser's side of connection.ts: WebSocket, fetch, timers.

import type { Socket, World } from './connection';

function openSocket(params: URLSearchParams): Socket {
  const url = new URL('/api/analytics/stream', location.href);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  url.search = params.toString();

  const raw = new WebSocket(url);
  const socket: Socket = { onopen: null, onmessage: null, onclose: null, close: () => raw.close() };
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
