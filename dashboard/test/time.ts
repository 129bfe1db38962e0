// A clock that a test controls: timers run when the test lets time pass.

/** Lets the callbacks of promises run that are resolved already. */
export const settle = () => new Promise<void>((done) => setImmediate(done));

export class FakeTime {
  /** Milliseconds since the test began. */
  time = 0;
  #timers = new Map<number, { at: number; run: () => void }>();
  #nextTimer = 0;

  now = () => this.time;

  after(ms: number, run: () => void): () => void {
    const id = this.#nextTimer++;
    this.#timers.set(id, { at: this.time + ms, run });
    return () => this.#timers.delete(id);
  }

  /** Lets `ms` pass; promises settle after each timer. */
  async pass(ms: number): Promise<void> {
    const end = this.time + ms;
    for (;;) {
      await settle();
      const next = [...this.#timers].filter(([, timer]) => timer.at <= end).sort(([, a], [, b]) => a.at - b.at)[0];
      if (!next) break;
      this.#timers.delete(next[0]);
      this.time = Math.max(this.time, next[1].at);
      next[1].run();
    }
    this.time = end;
  }
}
