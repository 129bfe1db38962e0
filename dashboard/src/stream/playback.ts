// The connection that plays the past back: /api/analytics/stream?from=&speed=. Its frames are those of the live
// stream, so the state is moved by the same function; what the viewer wants is said in text frames.
//
// One that is cut off is opened again at the moment that was shown last. Time and the network come in through
// `PastWorld`, as they do for the connection of now.

import type { Socket, World } from './connection';
import { parseFrame, type Frame } from './frames';
import { SECOND_MS, bucketStart } from './series';
import { applyFrame, BY_MINUTE_SPEED, type LiveState } from './state';

export type PastWorld = Pick<World, 'open' | 'after'>;

export interface PastListener {
  /** There is another frame, or something else to draw. */
  onChange(frame: Frame | null): void;
  /** The playback has come to now. */
  onEnd(): void;
}

/** What is dragged over a day says another moment with each pixel; the server hears the last of so many milliseconds. */
const SAY_EVERY_MS = 150;
/** The pause before another try. */
const AGAIN_MS = 3_000;
/** A server sends a frame at least once a second; one that is silent for so long is gone. */
const DEAD_AFTER_MS = 10_000;
/** RFC 6455: the server has nothing more to say, since this is now. */
const CLOSE_NORMAL = 1000;

const REFUSED =
  'The server does not play the past just now; it may play it for as many others as it can. Trying again …';
const LOST = 'The connection was lost. Trying again …';

export class PastConnection {
  /** What is counted up to the moment that is shown; null until the first frame. */
  state: LiveState | null = null;
  /** Why nothing comes, in words; null while something does. */
  trouble: string | null = null;
  #socket: Socket | null = null;
  #isOpen = false;
  /** The moment that was asked for and has not been answered yet. */
  #awaited: number | null = null;
  #seq = 0;
  #timers = new Map<'say' | 'again' | 'silence', () => void>();
  /** What was wanted last and is not said yet. */
  #unsaid: { from?: number; speed?: number } = {};

  constructor(
    private readonly world: PastWorld,
    private readonly listener: PastListener,
    private readonly token: string | null,
    from: number,
    public speed = 0,
  ) {
    this.#awaited = bucketStart(from, SECOND_MS);
    this.#open();
  }

  /** The moment that is shown or on its way, Unix milliseconds. */
  get moment(): number {
    return this.#awaited ?? this.state?.timestamp ?? 0;
  }

  /** Whether the state is that of the moment. */
  get isThere(): boolean {
    return this.#awaited === null && this.state !== null;
  }

  /** Shows another moment. */
  seek(from: number): void {
    this.#awaited = bucketStart(from, SECOND_MS);
    this.#want({ from: this.#awaited });
  }

  /** Plays at a speed; 0 is a pause. */
  play(speed: number): void {
    const before = this.speed;
    this.speed = speed;
    // What goes by whole minutes tells no seconds: a snapshot of the same moment has them again.
    const isSlower = before >= BY_MINUTE_SPEED && speed < BY_MINUTE_SPEED;
    if (isSlower) this.#awaited = this.moment;
    this.#want({ speed, ...(isSlower && { from: this.moment }) });
    this.listener.onChange(null);
  }

  close(): void {
    for (const cancel of this.#timers.values()) cancel();
    this.#timers.clear();
    const socket = this.#socket;
    this.#socket = null;
    this.#isOpen = false;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  #want(wanted: { from?: number; speed?: number }): void {
    this.#unsaid = { ...this.#unsaid, ...wanted };
    if (!this.#timers.has('say')) this.#timer('say', SAY_EVERY_MS, () => this.#say());
  }

  #say(): void {
    // Before it is open, the first frame says all of it.
    if (!this.#isOpen || Object.keys(this.#unsaid).length === 0) return;
    this.#socket?.send(JSON.stringify(this.#unsaid));
    this.#unsaid = {};
  }

  #open(): void {
    this.close();
    const from = this.moment;
    this.#awaited = from;
    this.#unsaid = {};
    const socket = this.world.open(new URLSearchParams({ from: String(from), speed: String(this.speed) }), this.token);
    this.#socket = socket;
    this.#hear();
    socket.onopen = () => {
      this.#isOpen = true;
      this.#say();
    };
    socket.onmessage = (text) => this.#receive(text);
    socket.onclose = (code) => {
      if (code === CLOSE_NORMAL && this.state) return this.listener.onEnd();
      this.#lose(this.#isOpen ? LOST : REFUSED);
    };
  }

  #receive(text: string): void {
    const frame = parseFrame(text);
    if (!frame) return;
    // A frame is missing, so the sums would be wrong from here on.
    if (frame.type === 'delta' && frame.seq !== this.#seq + 1) return this.#lose(LOST);
    this.#seq = frame.seq;
    this.#hear();
    this.trouble = frame.error;
    this.state = applyFrame(this.state, frame);
    // What was on its way when another moment was asked for still comes, and is not the answer.
    if (frame.type === 'snapshot' && frame.timestamp === this.#awaited) this.#awaited = null;
    this.listener.onChange(frame);
  }

  #hear(): void {
    this.#timer('silence', DEAD_AFTER_MS, () => this.#lose(LOST));
  }

  #lose(why: string): void {
    this.close();
    this.trouble = why;
    this.#timer('again', AGAIN_MS, () => this.#open());
    this.listener.onChange(null);
  }

  #timer(name: 'say' | 'again' | 'silence', ms: number, run: () => void): void {
    this.#timers.get(name)?.();
    const cancel = this.world.after(ms, () => {
      this.#timers.delete(name);
      run();
    });
    this.#timers.set(name, cancel);
  }
}
