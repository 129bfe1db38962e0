// What the stream does not say, asked over HTTP while somebody looks: past alerts, metrics, breakdowns,
// the other day's hour. Each question has its own pace, and is never asked twice at a time.
//
// An answer that fails leaves the last one standing: the page as a whole says how old it is.

import { ask, type Answer } from './ask';
import { NO_ALERTS, parseAlerts, parseFiring, type Alerts } from './alerts';
import { BASELINES, chosenBaseline, parsePoints, rememberBaseline, type Baseline, type PointsByTime } from './baseline';
import { BREAKDOWN_LIMIT, BREAKDOWN_MINUTES, compare, parseValueCounts, type Breakdown } from './breakdowns';
import { parseCatalogue, parseMetricValues, type BreakdownName, type Catalogue, type MetricValues } from './metrics';

/** Of a server whose stream says nothing of alerts. */
const ALERTS_EVERY_MS = 2_000;
/** Where the stream says what fires, only what has been over is asked for. */
const ALERT_HISTORY_EVERY_MS = 60_000;
/** After a change in the stream: another node than the one that streams knows of it by then. */
const ALERT_HISTORY_AFTER_MS = 2_500;
const METRICS_EVERY_MS = 2_000;
const BREAKDOWNS_EVERY_MS = 5_000;
/** Less than a minute, so that the newest minute of a baseline is not missing for long. */
const BASELINE_EVERY_MS = 10_000;
/** It changes only with the server's configuration. */
const CATALOGUE_EVERY_MS = 60_000;

/** What a baseline is drawn for, as the time series calls it. */
export const BASELINE_TYPES = ['page_view', 'error'] as const;
export type BaselineType = (typeof BASELINE_TYPES)[number];

export interface BaselineAnswer {
  baseline: Baseline;
  /** Null until the first answer, and where the server has none to give. */
  points: Readonly<Record<BaselineType, PointsByTime | null>>;
  /** The server has answered, whatever it said. */
  isAnswered: boolean;
}

export interface Answers {
  alerts: Alerts;
  catalogue: Catalogue;
  metrics: MetricValues;
  /** Share of the checkout's orders that failed, by minute of the last hour. */
  checkout: PointsByTime | null;
  breakdowns: readonly Breakdown[];
  baseline: BaselineAnswer;
}

const unanswered = (baseline: Baseline): BaselineAnswer => ({
  baseline,
  points: { page_view: null, error: null },
  isAnswered: false,
});

export class Questions {
  answers: Answers = {
    alerts: NO_ALERTS,
    catalogue: { metrics: [], breakdowns: [] },
    metrics: {},
    checkout: null,
    breakdowns: [],
    baseline: unanswered(chosenBaseline()),
  };
  #isRunning = false;
  /** The stream says what fires. An answer over HTTP may be older, or of another node. */
  #isHeard = false;
  /** Outdates the rounds of a time before a stop. */
  #generation = 0;
  #timers = new Set<ReturnType<typeof setTimeout>>();

  constructor(
    /** Server time, Unix milliseconds. */
    private readonly now: () => number,
    private readonly changed: () => void,
    private token: string | null,
  ) {}

  start(): void {
    if (this.#isRunning || document.visibilityState !== 'visible') return;
    this.#isRunning = true;
    const generation = ++this.#generation;
    const alertsEvery = () => (this.#isHeard ? ALERT_HISTORY_EVERY_MS : ALERTS_EVERY_MS);
    this.#every(alertsEvery, generation, () => this.#askAlerts());
    this.#every(METRICS_EVERY_MS, generation, () => this.#askMetrics());
    this.#every(BASELINE_EVERY_MS, generation, () => this.#askBaseline());
    // Which breakdowns there are has to be known before they can be asked for.
    this.#every(
      CATALOGUE_EVERY_MS,
      generation,
      () => this.#askCatalogue(),
      () => this.#every(BREAKDOWNS_EVERY_MS, generation, () => this.#askBreakdowns()),
    );
  }

  stop(): void {
    this.#isRunning = false;
    this.#generation += 1;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }

  useToken(token: string): void {
    this.token = token;
    this.stop();
  }

  /** What fires, from a frame of the stream. */
  hearFiring(entries: readonly Record<string, unknown>[]): void {
    this.#isHeard = true;
    this.#learn({ alerts: { ...this.answers.alerts, firing: parseFiring(entries) } });
    // What does not fire any more is in the history now.
    if (!this.#isRunning) return;
    void this.#askAlerts();
    this.#after(ALERT_HISTORY_AFTER_MS, () => this.#askAlerts());
  }

  compareWith(baseline: Baseline): void {
    if (!BASELINES.includes(baseline) || baseline === this.answers.baseline.baseline) return;
    rememberBaseline(baseline);
    this.#learn({ baseline: unanswered(baseline) });
    if (this.#isRunning) void this.#askBaseline();
  }

  /** `then` runs once, after the first round. */
  #every(ms: number | (() => number), generation: number, round: () => Promise<void>, then?: () => void): void {
    const turn = async () => {
      await round();
      if (generation !== this.#generation) return;
      then?.();
      then = undefined;
      this.#after(typeof ms === 'number' ? ms : ms(), turn);
    };
    void turn();
  }

  #after(ms: number, run: () => Promise<void>): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      void run();
    }, ms);
    this.#timers.add(timer);
  }

  #ask(path: string, parameters: Record<string, string> = {}): Promise<Answer> {
    return ask(`/api/analytics/${path}?${new URLSearchParams(parameters)}`, this.token);
  }

  #learn(news: Partial<Answers>): void {
    this.answers = { ...this.answers, ...news };
    this.changed();
  }

  async #askAlerts(): Promise<void> {
    const answer = await this.#ask('alerts');
    if (answer.kind === 'failed') return;
    const asked = answer.kind === 'ok' ? parseAlerts(answer.body) : NO_ALERTS;
    this.#learn({ alerts: this.#isHeard ? { ...asked, firing: this.answers.alerts.firing } : asked });
  }

  async #askCatalogue(): Promise<void> {
    const answer = await this.#ask('metrics');
    if (answer.kind === 'ok') this.#learn({ catalogue: parseCatalogue(answer.body) });
  }

  async #askMetrics(): Promise<void> {
    const [current, checkout] = await Promise.all([
      this.#ask('current'),
      this.#ask('timeseries', { metric: 'checkout_error_rate', hours: '1' }),
    ]);
    if (current.kind === 'ok') this.#learn({ metrics: parseMetricValues(current.body) });
    if (checkout.kind === 'ok') this.#learn({ checkout: parsePoints(checkout.body) });
    if (checkout.kind === 'unknown') this.#learn({ checkout: null });
  }

  async #askBreakdowns(): Promise<void> {
    const asked = this.answers.catalogue.breakdowns.map((name) => this.#askBreakdown(name));
    const breakdowns = (await Promise.all(asked)).filter((breakdown) => breakdown !== null);
    this.#learn({ breakdowns });
  }

  /** Null where the server doesn't know it any more. */
  async #askBreakdown(name: BreakdownName): Promise<Breakdown | null> {
    const over = (minutes: number) =>
      this.#ask('breakdown', { ...name, minutes: String(minutes), limit: String(BREAKDOWN_LIMIT) });
    const [recent, longer] = await Promise.all([over(BREAKDOWN_MINUTES), over(2 * BREAKDOWN_MINUTES)]);
    if (recent.kind === 'ok') {
      const both = longer.kind === 'ok' ? parseValueCounts(longer.body) : null;
      return compare(name, parseValueCounts(recent.body), both, this.now());
    }
    if (recent.kind === 'unknown') return null;
    const isSame = (known: Breakdown) => known.type === name.type && known.property === name.property;
    return this.answers.breakdowns.find(isSame) ?? null;
  }

  async #askBaseline(): Promise<void> {
    const { baseline } = this.answers.baseline;
    const asked = BASELINE_TYPES.map((type) => this.#ask('timeseries', { type, hours: '1', baseline }));
    const [pageViews, errors] = await Promise.all(asked);
    // Somebody has chosen another one meanwhile.
    if (baseline !== this.answers.baseline.baseline) return;
    if (pageViews?.kind === 'failed' || errors?.kind === 'failed') return;
    const points = (answer: Answer | undefined) => (answer?.kind === 'ok' ? parsePoints(answer.body) : null);
    this.#learn({
      baseline: { baseline, points: { page_view: points(pageViews), error: points(errors) }, isAnswered: true },
    });
  }
}
