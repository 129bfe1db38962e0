// The live view of this page: one connection, one state, one server clock, one asker, and somebody who
// draws them. Frames change the state at once, also in a hidden tab; drawing takes the newest state
// whenever it likes. What no frame says is asked for over HTTP, while somebody looks.

import { ask } from './questions/ask';
import { Asker } from './questions/asker';
import type { Question } from './questions/question';
import { Connection, type Link } from './stream/connection';
import { browserWorld } from './stream/browser';
import { ServerClock } from './stream/clock';
import type { Frame } from './stream/frames';
import { applyFrame, behindMs, type LiveState } from './stream/state';
import { firstToken, keepToken } from './token';

export interface View {
  link: Link;
  state: LiveState | null;
  /**
   * The moment the numbers speak of, server time. While the link is live that is now, or so long ago as the
   * server is behind with counting; otherwise it stands still at the last frame. A chart that went further
   * would draw zeros nobody has measured.
   */
  asOf: number;
  /** How old the numbers are. */
  ageMs: number;
  /** Local time, for the countdown to `link.retryAt`. */
  localNow: number;
  /** The time zone in which moments are shown: that of the address, else the shop's. Days are always the shop's. */
  zone: string;
  /** What is known of a question that a panel of the page asks. */
  answerTo<A>(question: Question<A>): A;
  /** The same, also where nobody asks it yet. */
  peek<A>(question: Question<A>): A;
  /** Asks a question until what is returned is called. */
  hold(question: Question<any>): () => void;
  /** Tries to connect at once, without waiting any longer. */
  retryNow(): void;
  /** Somebody has chosen something else: `known` is what is known of it, and it is asked at once. */
  startOver<A>(question: Question<A>, known: A): void;
}

/** The currency of amounts. It is a guess until the first snapshot. */
export const currencyOf = ({ state }: View): string => state?.currency ?? 'USD';

export class Live {
  #link: Link = { kind: 'connecting' };
  #state: LiveState | null = null;
  #clock = new ServerClock();
  #connection: Connection;
  #asker: Asker;
  #token: string | null;
  #letGo: (() => void)[] = [];
  /** The time zone that the address asks for. */
  zone: string | null = null;

  constructor(private readonly changed: () => void) {
    const token = (this.#token = firstToken());
    const askerWorld = { ask, now: () => this.#clock.now(), after: browserWorld.after };
    this.#asker = new Asker(askerWorld, [], changed, token);
    const listener = {
      onFrame: (frame: Frame) => this.#onFrame(frame),
      onLink: (link: Link) => this.#onLink(link),
    };
    this.#connection = new Connection(browserWorld, listener, token);
  }

  start(): void {
    this.#connection.start();
    const wake = () => this.#connection.wake();
    addEventListener('online', wake);
    addEventListener('pageshow', wake);
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible') wake();
      this.#askOrRest();
    });
  }

  /** The viewer token of this browser; null where a session says who it is, or nothing does. */
  get token(): string | null {
    return this.#token;
  }

  /** The page has changed, and with it what is asked. What both pages ask goes on. */
  ask(questions: readonly Question<any>[]): void {
    const before = this.#letGo;
    this.#letGo = questions.map((question) => this.#asker.hold(question));
    for (const letGo of before) letGo();
  }

  /** Begins anew with this token, or with the session that the browser has now. */
  enter(token: string | null): void {
    this.#token = token;
    keepToken(token);
    this.#asker.useToken(token);
    this.#connection.useToken(token);
  }

  forgetToken(): void {
    this.#token = null;
    keepToken(null);
  }

  view(): View {
    const now = this.#clock.now();
    const newest = this.#state?.timestamp ?? now;
    const behind = behindMs(this.#state);
    return {
      link: this.#link,
      state: this.#state,
      // The clock's estimate may be a little behind the newest frame; never show less than we know.
      asOf: (this.#link.kind === 'live' ? Math.max(now, newest) : newest) - behind,
      ageMs: Math.max(0, now - newest) + behind,
      localNow: Date.now(),
      zone: this.zone ?? this.#state?.timezone ?? 'UTC',
      peek: (question) => this.#asker.peek(question),
      hold: this.#hold,
      answerTo: (question) => this.#asker.answerTo(question),
      retryNow: () => this.#connection.wake(),
      startOver: (question, known) => this.#asker.startOver(question, known),
    };
  }

  /** One function for good: the parts of a page compare it. */
  #hold = (question: Question<any>): (() => void) => this.#asker.hold(question);

  #onFrame(frame: Frame): void {
    this.#clock.observe(frame.timestamp);
    this.#state = applyFrame(this.#state, frame);
    this.#asker.hear(frame);
    this.changed();
  }

  #onLink(link: Link): void {
    this.#link = link;
    this.#askOrRest();
    // A token that was refused is forgotten, or every later visit would begin with it.
    if (link.kind === 'unauthorized') this.forgetToken();
    this.changed();
  }

  /**
   * Questions are asked while the stream is live and somebody looks. A server that can't stream has no
   * answers either, and a connection that is being tried again should be the only thing that is.
   */
  #askOrRest(): void {
    if (this.#link.kind === 'live' && document.visibilityState === 'visible') this.#asker.start();
    else this.#asker.stop();
  }
}
