// The live view of this page: one connection, one state, one server clock, and whoever draws them.
// Frames change the state at once, also in a hidden tab; drawing asks for it when it likes. What no
// frame says is asked for beside it, while somebody looks.

import type { Baseline } from './questions/baseline';
import { Questions, type Answers } from './questions/questions';
import { Connection, type Link } from './stream/connection';
import { browserWorld } from './stream/browser';
import { ServerClock } from './stream/clock';
import { applyFrame, type LiveState } from './stream/state';
import { recall, remember } from './storage';

const TOKEN_KEY = 'floodmark.viewerToken';

export interface View {
  link: Link;
  state: LiveState | null;
  answers: Answers;
  /**
   * The moment the numbers speak of, server time. While live that is now; else it stands still at
   * the last frame, for a chart that moved on would draw zeros nobody has measured.
   */
  asOf: number;
  /** Age of the newest frame. */
  ageMs: number;
  /** Local time, for the countdown to `link.retryAt`. */
  localNow: number;
}

/** What amounts are in; a guess until the first snapshot. */
export const currencyOf = ({ state }: View): string => state?.currency ?? 'USD';

export class Live {
  #link: Link = { kind: 'connecting' };
  #state: LiveState | null = null;
  #clock = new ServerClock();
  #connection: Connection;
  #questions: Questions;

  constructor(private readonly changed: () => void) {
    const token = recall(TOKEN_KEY);
    this.#questions = new Questions(() => this.#clock.now(), changed, token);
    this.#connection = new Connection(
      browserWorld,
      {
        onFrame: (frame) => {
          this.#clock.observe(frame.timestamp);
          this.#state = applyFrame(this.#state, frame);
          if (frame.firing) this.#questions.hearFiring(frame.firing);
          this.changed();
        },
        onLink: (link) => {
          this.#link = link;
          // Whoever can't hear the stream gets no other answers either, and is not to knock twice.
          if (link.kind === 'live') this.#questions.start();
          else this.#questions.stop();
          // A token that was refused is forgotten, or every later visit would begin with it.
          if (link.kind === 'unauthorized') remember(TOKEN_KEY, null);
          this.changed();
        },
      },
      token,
    );
  }

  start(): void {
    this.#connection.start();
    const wake = () => this.#connection.wake();
    addEventListener('online', wake);
    addEventListener('pageshow', wake);
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState !== 'visible') return this.#questions.stop();
      wake();
      if (this.#link.kind === 'live') this.#questions.start();
    });
  }

  signIn(token: string): void {
    remember(TOKEN_KEY, token);
    this.#questions.useToken(token);
    this.#connection.useToken(token);
  }

  compareWith(baseline: Baseline): void {
    this.#questions.compareWith(baseline);
  }

  view(): View {
    const now = this.#clock.now();
    const newest = this.#state?.timestamp ?? now;
    return {
      link: this.#link,
      state: this.#state,
      answers: this.#questions.answers,
      // The clock's estimate may be a little behind the newest frame; never show less than we know.
      asOf: this.#link.kind === 'live' ? Math.max(now, newest) : newest,
      ageMs: Math.max(0, now - newest),
      localNow: Date.now(),
    };
  }
}
