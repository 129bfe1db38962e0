// The live view of this page: one connection, one state, one server clock, and whoever draws them.
// Frames change the state at once, also in a hidden tab; drawing asks for it when it likes.

import { Connection, type Link } from './stream/connection';
import { browserWorld } from './stream/browser';
import { ServerClock } from './stream/clock';
import { applyFrame, type LiveState } from './stream/state';
import { browserAsking, Poller, type Business, type Past } from './business/poll';
import { recall, remember } from './storage';

const TOKEN_KEY = 'floodmark.viewerToken';
const PAST_KEY = 'floodmark.compareWith';

const PASTS: readonly (Past | null)[] = [null, 'yesterday', 'last_week'];

export interface View {
  link: Link;
  state: LiveState | null;
  /**
   * The moment the numbers speak of, server time. While live that is now; else it stands still at
   * the last frame, for a chart that moved on would draw zeros nobody has measured.
   */
  asOf: number;
  /** Age of the newest frame. */
  ageMs: number;
  /** Local time, for the countdown to `link.retryAt`. */
  localNow: number;
  /** What is asked for beside the stream. */
  business: Business;
  /** What the charts are compared with. */
  past: Past | null;
}

export class Live {
  #link: Link = { kind: 'connecting' };
  #state: LiveState | null = null;
  #clock = new ServerClock();
  #connection: Connection;
  #poller: Poller;
  #past: Past | null = PASTS.find((past) => past === recall(PAST_KEY)) ?? null;

  constructor(private readonly changed: () => void) {
    this.#connection = new Connection(
      browserWorld,
      {
        onFrame: (frame) => {
          this.#clock.observe(frame.timestamp);
          this.#state = applyFrame(this.#state, frame);
          this.changed();
        },
        onLink: (link) => {
          this.#link = link;
          // A token that was refused is forgotten, or every later visit would begin with it.
          if (link.kind === 'unauthorized') remember(TOKEN_KEY, null);
          this.changed();
        },
      },
      recall(TOKEN_KEY),
    );
    this.#poller = new Poller(browserAsking(() => recall(TOKEN_KEY)), changed);
  }

  start(): void {
    this.#connection.start();
    this.#poller.start(this.#past);
    const wake = () => this.#connection.wake();
    addEventListener('online', wake);
    addEventListener('pageshow', wake);
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible') wake();
    });
  }

  signIn(token: string): void {
    remember(TOKEN_KEY, token);
    this.#connection.useToken(token);
  }

  /** Goes through what the charts may be compared with. */
  compareWithNext(): void {
    this.#past = PASTS[(PASTS.indexOf(this.#past) + 1) % PASTS.length] ?? null;
    remember(PAST_KEY, this.#past);
    this.#poller.compareWith(this.#past);
  }

  view(): View {
    const now = this.#clock.now();
    const newest = this.#state?.timestamp ?? now;
    return {
      link: this.#link,
      state: this.#state,
      // The clock's estimate may be a little behind the newest frame; never show less than we know.
      asOf: this.#link.kind === 'live' ? Math.max(now, newest) : newest,
      ageMs: Math.max(0, now - newest),
      localNow: Date.now(),
      business: this.#poller.business,
      past: this.#past,
    };
  }
}
