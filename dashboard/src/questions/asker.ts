// Asks the questions of the panels on the page, each at its own pace, while somebody looks.
//
// For every question there is at most one round under way. Who wants it asked meanwhile gets one more
// round right after it. A stop, and a new beginning of one question, abandon its round: the requests
// may still be answered, but nobody listens any more.
//
// Which questions there are changes with the page and with what is chosen on it: whoever shows the answer to
// one holds it, and it is asked as long as somebody does.

import type { Frame } from '../stream/frames';
import type { Answer } from './ask';
import type { Question, Round } from './question';

/** The outside: the network, server time and timers. Tests have their own. */
export interface AskerWorld {
  ask(path: string, token: string | null): Promise<Answer>;
  /** Server time, Unix milliseconds. */
  now(): number;
  /** The moment of the past that the page shows; null where it shows now. */
  moment?(): number | null;
  /** Returns what cancels it. */
  after(ms: number, run: () => void): () => void;
}

/** How one question stands. */
interface Standing {
  known: unknown;
  isUnderWay: boolean;
  /** Ask once more as soon as the round under way is over. */
  isWantedAgain: boolean;
  /** The number of the round; one that is not the newest has been abandoned. */
  round: number;
  cancelNext: () => void;
}

export class Asker {
  #standings = new Map<Question<any>, Standing>();
  /** How many hold each question. Those that another question needs are held by it. */
  #holders = new Map<Question<any>, number>();
  #isRunning = false;
  /** First rounds since the last start, which other questions may wait for. */
  #firstRounds = new Map<Question<any>, Promise<void>>();
  /** What cancels the extra rounds that are to come. */
  #extras = new Set<() => void>();

  constructor(
    private readonly world: AskerWorld,
    questions: readonly Question<any>[],
    private readonly changed: () => void,
    private token: string | null,
  ) {
    for (const question of questions) this.hold(question);
  }

  /** Asks a question from now on, until what is returned is called. */
  hold(question: Question<any>): () => void {
    this.#holders.set(question, (this.#holders.get(question) ?? 0) + 1);
    const letNeedGo = question.needs ? this.hold(question.needs) : () => {};
    const isNew = !this.#standings.has(question);
    this.#add(question);
    if (isNew && this.#isRunning) void this.#begin(question, this.#firstRounds);
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.#letGo(question);
      letNeedGo();
    };
  }

  start(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#firstRounds = new Map();
    for (const question of this.#standings.keys()) void this.#begin(question, this.#firstRounds);
  }

  stop(): void {
    this.#isRunning = false;
    for (const standing of this.#standings.values()) this.#abandon(standing);
    for (const cancel of this.#extras) cancel();
    this.#extras.clear();
  }

  useToken(token: string | null): void {
    this.token = token;
    this.stop();
  }

  /** A frame of the stream came in, which may say something of a question. */
  hear(frame: Frame): void {
    for (const [question, standing] of this.#standings) {
      const heard = question.hear?.(frame, standing.known);
      if (!heard) continue;
      this.#learn(standing, heard.known);
      if (!this.#isRunning) continue;
      for (const ms of heard.askAfterMs) this.#askAfter(ms, question);
    }
  }

  /** What is known of a question, also of one that nobody holds yet. */
  peek<A>(question: Question<A>): A {
    const standing = this.#standings.get(question);
    return standing ? (standing.known as A) : question.initially();
  }

  answerTo<A>(question: Question<A>): A {
    const standing = this.#standings.get(question);
    if (!standing) throw new Error('A panel shows the answer to a question that it does not list under `asks`.');
    return standing.known as A;
  }

  /** Forgets what is known of a question in favour of `known`, and asks anew at once. */
  startOver<A>(question: Question<A>, known: A): void {
    const standing = this.#standings.get(question);
    if (!standing) return;
    this.#abandon(standing);
    this.#learn(standing, known);
    if (this.#isRunning) void this.#ask(question, standing);
  }

  /**
   * The page shows another moment: what depends on it is asked anew, and what was asked of the one before is
   * dropped. With `forget`, nothing is known of it until then.
   */
  moveOn(forget: boolean): void {
    for (const [question, standing] of this.#standings) {
      if (!question.isOfMoment) continue;
      this.#abandon(standing);
      if (forget) this.#learn(standing, question.initially());
      if (this.#isRunning) void this.#ask(question, standing);
    }
  }

  #add(question: Question<any>): void {
    if (this.#standings.has(question)) return;
    this.#standings.set(question, {
      known: question.initially(),
      isUnderWay: false,
      isWantedAgain: false,
      round: 0,
      cancelNext: () => {},
    });
  }

  /** Whoever held a question does so no more. With the last one, what is known of it goes. */
  #letGo(question: Question<any>): void {
    const holders = (this.#holders.get(question) ?? 0) - 1;
    if (holders > 0) return void this.#holders.set(question, holders);
    this.#holders.delete(question);
    this.#firstRounds.delete(question);
    const standing = this.#standings.get(question);
    if (standing) this.#abandon(standing);
    this.#standings.delete(question);
  }

  /** The first round after a start. `firstRounds` are those of that start. */
  #begin(question: Question<any>, firstRounds: Map<Question<any>, Promise<void>>): Promise<void> {
    const begun = firstRounds.get(question);
    if (begun) return begun;
    const ask = () => this.#ask(question, this.#standings.get(question)!);
    const first = question.needs
      ? this.#begin(question.needs, firstRounds).then(() => {
          // There may have been a stop meanwhile, and another start.
          if (this.#isRunning && firstRounds === this.#firstRounds && this.#standings.has(question)) return ask();
        })
      : ask();
    firstRounds.set(question, first);
    return first;
  }

  async #ask(question: Question<any>, standing: Standing): Promise<void> {
    if (standing.isUnderWay) {
      standing.isWantedAgain = true;
      return;
    }
    standing.cancelNext();
    standing.isUnderWay = true;
    standing.isWantedAgain = false;
    const round = ++standing.round;
    try {
      const known = await question.round(this.#atHand(standing));
      if (round === standing.round) this.#learn(standing, known);
    } finally {
      // Also after an error in `round`, which the browser reports: the next answer may do better.
      if (round === standing.round) this.#finish(question, standing);
    }
  }

  #finish(question: Question<any>, standing: Standing): void {
    standing.isUnderWay = false;
    const { everyMs } = question;
    const pause = typeof everyMs === 'number' ? everyMs : everyMs(standing.known);
    standing.cancelNext = this.world.after(
      standing.isWantedAgain ? 0 : pause,
      () => void this.#ask(question, standing),
    );
  }

  #askAfter(ms: number, question: Question<any>): void {
    const standing = this.#standings.get(question)!;
    if (ms === 0) return void this.#ask(question, standing);
    const cancel = this.world.after(ms, () => {
      this.#extras.delete(cancel);
      if (this.#standings.get(question) === standing) void this.#ask(question, standing);
    });
    this.#extras.add(cancel);
  }

  #atHand<A>(standing: Standing): Round<A> {
    return {
      ask: (path, parameters = {}) =>
        this.world.ask(`/api/analytics/${path}?${new URLSearchParams(parameters)}`, this.token),
      known: () => standing.known as A,
      answerTo: (question) => this.answerTo(question),
      now: () => this.world.moment?.() ?? this.world.now(),
      moment: () => this.world.moment?.() ?? null,
    };
  }

  #abandon(standing: Standing): void {
    standing.cancelNext();
    standing.round += 1;
    standing.isUnderWay = false;
    standing.isWantedAgain = false;
  }

  #learn(standing: Standing, known: unknown): void {
    standing.known = known;
    this.changed();
  }
}
