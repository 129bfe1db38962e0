// Server time, as far as this page can know it. A wall screen's own clock may be minutes off, and a
// chart drawn by it would show a hole or the future. So the page keeps the difference of the two clocks.

/** Beyond this a difference is not network jitter: the clock was set, or the machine slept. */
const JUMP_MS = 2_000;

/** How much of a small difference is taken over at once. Small, so that jitter doesn't shake the axis. */
const GAIN = 0.1;

export class ServerClock {
  #offsetMs: number | null = null;

  constructor(private readonly localNow: () => number = Date.now) {}

  /** A frame stamped `timestamp` by the server came in just now. */
  observe(timestamp: number): void {
    const sample = timestamp - this.localNow();
    const drift = this.#offsetMs === null ? Infinity : sample - this.#offsetMs;
    this.#offsetMs = Math.abs(drift) > JUMP_MS ? sample : (this.#offsetMs ?? 0) + drift * GAIN;
  }

  /** Unix milliseconds. The local time until the first frame has come. */
  now(): number {
    return this.localNow() + (this.#offsetMs ?? 0);
  }
}
