// The live view of this page: one connection, one state, one server clock, one asker, and somebody who
// draws them. Frames change the state at once, also in a hidden tab; drawing takes the newest state
// whenever it likes. What no frame says is asked for over HTTP, while somebody looks.

import { ask } from './questions/ask';
import { Asker } from './questions/asker';
import type { Question } from './questions/question';
import { FOLLOW_EVERY_MS } from './router/travel';
import { Connection, type Link } from './stream/connection';
import { browserWorld } from './stream/browser';
import { ServerClock } from './stream/clock';
import type { Frame } from './stream/frames';
import { PastConnection } from './stream/playback';
import { applyFrame, behindMs, type LiveState } from './stream/state';
import { firstToken, keepToken } from './token';

/** What of the past the page shows. */
export interface PastView {
  /** The moment, Unix milliseconds: that of the state, or one that is on its way. */
  moment: number;
  /** Seconds of the past in a second; 0 while it stands still. */
  speed: number;
  /** The state is that of the moment. */
  isThere: boolean;
  /** Why nothing comes; null while something does. */
  trouble: string | null;
}

export interface View {
  link: Link;
  /** Null while the page shows now. */
  past: PastView | null;
  /** The present moment, server time, whatever the page shows. */
  now: number;
  /** Plays the past that is shown, at a speed; 0 is a pause. */
  play(speed: number): void;
  state: LiveState | null;
  /**
   * The moment the numbers speak of, server time. Where the page shows the past, it is that moment. While the link is
   * live it is now, less what the server is behind with counting; otherwise it stands still at the last frame. A chart
   * that went further would draw zeros nobody has measured.
   */
  asOf: number;
  /** How old the numbers are. */
  ageMs: number;
  /** Local time, for the countdown to `link.retryAt`. */
  localNow: number;
  /** The shop's time zone, by which days begin. */
  business: string;
  /** The time zone in which moments are shown: that of the address, else the shop's. */
  zone: string;
  /** What the day of the numbers is called: "today", or "that day" where it is another one. */
  dayWord: string;
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

/**
 * After the last of several moments in a row, how long it takes until what no frame says is asked. It is longer than
 * the pause between two steps of a drag, or each step would ask.
 */
const ASK_AFTER_MS = 2 * FOLLOW_EVERY_MS;

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
  #past: PastConnection | null = null;
  /** The moment that the address asks for, which waits for the server to be there. */
  #wanted: number | null = null;
  /** The newest frame of now that said what fires. */
  #firing: Frame | null = null;
  #cancelAsking = () => {};

  /**
   * @param changed there is something new to draw
   * @param movedOn a playback shows another moment; null where it has come to now
   */
  constructor(
    private readonly changed: () => void,
    private readonly movedOn: (moment: number | null) => void,
  ) {
    const token = (this.#token = firstToken());
    const moment = () => this.#past?.moment ?? null;
    const askerWorld = { ask, now: () => this.#clock.now(), after: browserWorld.after, moment };
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

  /** Shows a moment of the past; null shows now. */
  show(moment: number | null): void {
    this.#wanted = moment;
    const past = this.#past;
    if (moment === null || (past && this.#isToCome(moment))) {
      if (past) this.#leavePast();
    } else if (!past) {
      this.#enterWanted();
    } else if (Math.floor(moment / 1000) !== Math.floor(past.moment / 1000)) {
      past.seek(moment);
      this.#askSoon();
    }
    this.changed();
  }

  /** No server can play what has not come yet: the page shows now instead. */
  #isToCome(moment: number): boolean {
    return moment > this.#clock.now();
  }

  /** Shows what the address asks for, once the server is there: only then its time is known. */
  #enterWanted(): void {
    const moment = this.#wanted;
    if (moment === null || this.#past || this.#link.kind !== 'live' || this.#isToCome(moment)) return;
    this.#enterPast(moment);
  }

  #enterPast(moment: number): void {
    const listener = {
      onChange: (frame: Frame | null) => this.#onPast(frame),
      onEnd: () => this.movedOn(null),
    };
    this.#past = new PastConnection(browserWorld, listener, this.#token, moment);
    this.#asker.moveOn(true);
  }

  #leavePast(): void {
    this.#past?.close();
    this.#past = null;
    this.#cancelAsking();
    if (this.#firing) this.#asker.hear(this.#firing);
    this.#asker.moveOn(true);
  }

  #onPast(frame: Frame | null): void {
    if (frame) this.#asker.hear(frame);
    const past = this.#past;
    if (frame && past?.isThere && past.speed > 0) this.movedOn(past.moment);
    this.changed();
  }

  /** While somebody drags, nothing is asked: the frames follow, and the rest comes when the hand rests. */
  #askSoon(): void {
    this.#cancelAsking();
    this.#cancelAsking = browserWorld.after(ASK_AFTER_MS, () => this.#asker.moveOn(false));
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
    const business = (this.#past?.state ?? this.#state)?.timezone ?? 'UTC';
    const common = {
      link: this.#link,
      business,
      zone: this.zone ?? business,
      now,
      localNow: Date.now(),
      play: this.#play,
      peek: <A>(question: Question<A>) => this.#asker.peek(question),
      hold: this.#hold,
      answerTo: <A>(question: Question<A>) => this.#asker.answerTo(question),
      retryNow: () => this.#connection.wake(),
      startOver: <A>(question: Question<A>, known: A) => this.#asker.startOver(question, known),
    };
    const past = this.#past;
    if (past) {
      const { state, moment, speed, isThere, trouble } = past;
      // Until the first frame of the past there is no number: those of now would stand under another moment.
      const asOf = state?.timestamp ?? moment;
      const dayWord = !state || state.day === this.#state?.day ? 'today' : 'that day';
      const shown = { moment, speed, isThere, trouble };
      return { ...common, state, past: shown, asOf, ageMs: now - asOf, dayWord };
    }
    const newest = this.#state?.timestamp ?? now;
    const behind = behindMs(this.#state);
    return {
      ...common,
      state: this.#state,
      past: null,
      // The clock's estimate may be a little behind the newest frame; never show less than we know.
      asOf: (this.#link.kind === 'live' ? Math.max(now, newest) : newest) - behind,
      ageMs: Math.max(0, now - newest) + behind,
      dayWord: 'today',
    };
  }

  #play = (speed: number): void => this.#past?.play(speed);

  /** One function for good: the parts of a page compare it. */
  #hold = (question: Question<any>): (() => void) => this.#asker.hold(question);

  #onFrame(frame: Frame): void {
    this.#clock.observe(frame.timestamp);
    this.#state = applyFrame(this.#state, frame);
    if (frame.firing !== null) this.#firing = frame;
    // What fires now is no news to a page that shows the past.
    if (!this.#past) this.#asker.hear(frame);
    this.changed();
  }

  #onLink(link: Link): void {
    this.#link = link;
    this.#enterWanted();
    this.#askOrRest();
    if (link.kind === 'unauthorized') {
      // A token that was refused is forgotten, or every later visit would begin with it.
      this.forgetToken();
      // Whoever is let in next comes back to the moment of the address, as who they are.
      if (this.#past) this.#leavePast();
    }
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
