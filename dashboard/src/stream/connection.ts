// The connection to /api/analytics/stream, as a small state machine.
//
//   connecting ──first frame──> live <──a frame── stale
//       │                        │ └──3 s silent───^ │
//       │                     closed            10 s silent
//       └──failed──> reconnecting <──────────────────┘
//   any ──401──> unauthorized ──a new token──> connecting
//
// It knows frames only by `seq`: it resumes after the last one seen, and never lets a frame through
// that does not follow the one before. Time, chance and the network come in through `World`, so the
// tests need none of them.

import { backoffMs } from './backoff';
import { parseFrame, type Frame } from './frames';

/** The server sends at least one frame a second. Three that are missing are no accident. */
export const STALE_AFTER_MS = 3_000;

/** An open socket this silent is a half-open one: no close will ever be told. */
export const DEAD_AFTER_MS = 10_000;

/** A handshake or probe that takes longer has failed. */
export const OPEN_TIMEOUT_MS = 8_000;

/** A connection that lived this long was a good one: the next loss starts with a short wait again. */
export const STABLE_AFTER_MS = 5_000;

/** RFC 6455 section 7.4.1, "Try Again Later": the server found this viewer too slow. */
const CLOSE_TRY_LATER = 1013;

/** A viewer that was too slow waits as if it had failed this often already. */
const LATER = 16;

/**
 * Why there is no stream: the server does not answer; it answers, and the stream is refused, as by a proxy
 * that passes no WebSockets on or for a page of another origin; or the stream has ended or fallen silent.
 */
export type LostWhy = 'no answer' | 'stream refused' | 'ended';

export type Link =
  | { kind: 'connecting' }
  | { kind: 'live' }
  | { kind: 'stale' }
  /** `retryAt` in local milliseconds; null while the try is under way. */
  | { kind: 'reconnecting'; attempt: number; retryAt: number | null; why: LostWhy }
  /** `refused`: a token was given, and it was wrong. */
  | { kind: 'unauthorized'; refused: boolean };

export interface Socket {
  onopen: (() => void) | null;
  onmessage: ((text: string) => void) | null;
  onclose: ((code: number) => void) | null;
  send(text: string): void;
  close(): void;
}

export interface World {
  open(params: URLSearchParams, token: string | null): Socket;
  /** Asks over HTTP, since a browser can't see why a WebSocket was refused. */
  probe(token: string | null, timeoutMs: number): Promise<'ok' | 'unauthorized' | 'unreachable'>;
  now(): number;
  random(): number;
  /** Returns what cancels it. */
  after(ms: number, run: () => void): () => void;
}

export interface Listener {
  onFrame(frame: Frame): void;
  onLink(link: Link): void;
}

export class Connection {
  #link: Link = { kind: 'connecting' };
  #socket: Socket | null = null;
  #resume: { epoch: string; seq: number } | null = null;
  #attempt = 0;
  /** The first try, and each after a refused handshake, asks over HTTP first: it may be a 401. */
  #probeFirst = true;
  /** Null until something was heard on this socket. */
  #heardAt: number | null = null;
  /** Counts the tries. What an abandoned one still reports is recognised by its number, and ignored. */
  #generation = 0;
  #timers = new Map<'retry' | 'silence' | 'open' | 'stable', () => void>();

  constructor(
    private readonly world: World,
    private readonly listener: Listener,
    private token: string | null,
  ) {}

  start(): void {
    void this.#connect();
  }

  useToken(token: string | null): void {
    this.token = token;
    this.#attempt = 0;
    this.#probeFirst = true;
    this.#abandon();
    this.#setLink({ kind: 'connecting' });
    void this.#connect();
  }

  /** The network is back, or somebody looks at the page again: no reason to wait any longer. */
  wake(): void {
    if (this.#link.kind === 'reconnecting' && this.#link.retryAt !== null) {
      void this.#connect();
    } else if (this.#socket && this.#heardAt !== null && this.world.now() - this.#heardAt >= STALE_AFTER_MS) {
      this.#lose('ended', 0);
    }
  }

  async #connect(): Promise<void> {
    this.#abandon();
    const generation = this.#generation;
    if (this.#link.kind === 'reconnecting') this.#setLink({ ...this.#link, retryAt: null });

    if (this.#probeFirst) {
      const answer = await this.world.probe(this.token, OPEN_TIMEOUT_MS);
      if (generation !== this.#generation) return;
      if (answer === 'unauthorized') return this.#setLink({ kind: 'unauthorized', refused: this.token !== null });
      if (answer === 'unreachable') return this.#retry('no answer');
    }

    const params = new URLSearchParams();
    if (this.#resume) params.set('resume', `${this.#resume.epoch}:${this.#resume.seq}`);
    const socket = this.world.open(params, this.token);
    this.#socket = socket;
    // Until it has opened, every close is a refused handshake.
    this.#probeFirst = true;
    let hasOpened = false;
    const why = (): LostWhy => (hasOpened ? 'ended' : 'stream refused');
    this.#timer('open', OPEN_TIMEOUT_MS, () => this.#lose(why()));
    socket.onopen = () => {
      hasOpened = true;
      this.#probeFirst = false;
      // Silence counts from here: an open socket that never sends is as dead as one that stopped.
      this.#heard();
    };
    socket.onmessage = (text) => {
      hasOpened = true;
      this.#receive(text);
    };
    socket.onclose = (code) => {
      // Whatever the reason for 1008 (policy), the next try should find out over HTTP.
      if (code === 1008) this.#probeFirst = true;
      this.#lose(why(), code === CLOSE_TRY_LATER ? backoffMs(LATER, this.world.random()) : undefined);
    };
  }

  #receive(text: string): void {
    const frame = parseFrame(text);
    if (!frame) return;
    if (frame.type === 'snapshot') {
      this.#resume = { epoch: frame.epoch, seq: frame.seq };
    } else if (this.#resume && frame.seq === this.#resume.seq + 1) {
      this.#resume = { ...this.#resume, seq: frame.seq };
    } else {
      // A frame is missing, so the sums would be wrong from here on. Only a snapshot helps.
      this.#resume = null;
      return this.#lose('ended');
    }
    this.#heard();
    if (this.#link.kind !== 'live') {
      this.#clear('open');
      this.#timer('stable', STABLE_AFTER_MS, () => (this.#attempt = 0));
    }
    this.listener.onFrame(frame);
    if (this.#link.kind !== 'live') this.#setLink({ kind: 'live' });
  }

  #heard(): void {
    this.#heardAt = this.world.now();
    this.#timer('silence', STALE_AFTER_MS, () => {
      if (this.#link.kind === 'live') this.#setLink({ kind: 'stale' });
      this.#timer('silence', DEAD_AFTER_MS - STALE_AFTER_MS, () => this.#lose('ended'));
    });
  }

  #lose(why: LostWhy, waitMs?: number): void {
    this.#abandon();
    this.#retry(why, waitMs);
  }

  #retry(why: LostWhy, waitMs?: number): void {
    this.#attempt += 1;
    const wait = waitMs ?? backoffMs(this.#attempt, this.world.random());
    this.#setLink({ kind: 'reconnecting', attempt: this.#attempt, retryAt: this.world.now() + wait, why });
    this.#timer('retry', wait, () => void this.#connect());
  }

  /** Leaves the socket and every timer behind; nothing of them reports any more. */
  #abandon(): void {
    this.#generation += 1;
    for (const cancel of this.#timers.values()) cancel();
    this.#timers.clear();
    const socket = this.#socket;
    this.#socket = null;
    this.#heardAt = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  #timer(name: 'retry' | 'silence' | 'open' | 'stable', ms: number, run: () => void): void {
    this.#clear(name);
    this.#timers.set(name, this.world.after(ms, run));
  }

  #clear(name: 'retry' | 'silence' | 'open' | 'stable'): void {
    this.#timers.get(name)?.();
    this.#timers.delete(name);
  }

  #setLink(link: Link): void {
    this.#link = link;
    this.listener.onLink(link);
  }
}
