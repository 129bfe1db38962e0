// Asks for what the stream does not carry: metrics, alerts, breakdowns, baselines. Only while the
// page is seen, one question of a kind at a time; what fails leaves the last answer standing.

import type { Alerts, Catalogue, MetricValues, ValueCount } from './shapes';
import { toAlerts, toCatalogue, toMetricValues, toPoints, toValueCounts } from './shapes';

/** The window of the breakdowns, and the one before it that they are compared with. */
export const BREAKDOWN_MINUTES = 15;

const METRICS_EVERY_MS = 2_000;
const ALERTS_EVERY_MS = 2_000;
const BREAKDOWNS_EVERY_MS = 5_000;
const BASELINES_EVERY_MS = 30_000;
const CATALOGUE_EVERY_MS = 60_000;
const TIMEOUT_MS = 8_000;

export interface Breakdown {
  type: string;
  property: string;
  /** Largest first, of the last BREAKDOWN_MINUTES minutes. */
  now: ValueCount[];
  /** By value: in the minutes before these. Missing where it is not known. */
  before: ReadonlyMap<string, number>;
}

export type Past = 'yesterday' | 'last_week';

/** By metric: minutes of the last hour as they were then. */
export interface Baseline {
  past: Past;
  pageViews: ReadonlyMap<number, number>;
  errors: ReadonlyMap<number, number>;
}

export interface Business {
  catalogue: Catalogue;
  metrics: MetricValues;
  alerts: Alerts;
  breakdowns: readonly Breakdown[];
  baseline: Baseline | null;
}

export const NOTHING_YET: Business = {
  catalogue: { metrics: [], breakdowns: [] },
  metrics: {},
  alerts: { firing: [], history: [] },
  breakdowns: [],
  baseline: null,
};

/** What the poller needs of the world. */
export interface Asking {
  /** GET, as JSON. Throws where the answer is no 200. */
  get(path: string): Promise<unknown>;
  isVisible(): boolean;
  every(ms: number, run: () => void): void;
}

/** The counts of the minutes before, from those of both windows together. */
export function countsBefore(now: readonly ValueCount[], both: readonly ValueCount[]): Map<string, number> {
  const recent = new Map(now.map(({ value, count }) => [value, count]));
  return new Map(both.map(({ value, count }) => [value, Math.max(0, count - (recent.get(value) ?? 0))]));
}

export class Poller {
  #business: Business = NOTHING_YET;
  #past: Past | null = null;
  #asking = new Set<string>();

  constructor(
    private readonly world: Asking,
    private readonly changed: () => void,
  ) {}

  get business(): Business {
    return this.#business;
  }

  start(past: Past | null): void {
    this.#past = past;
    this.world.every(CATALOGUE_EVERY_MS, () => this.#catalogue());
    this.world.every(METRICS_EVERY_MS, () => this.#metrics());
    this.world.every(ALERTS_EVERY_MS, () => this.#alerts());
    this.world.every(BREAKDOWNS_EVERY_MS, () => this.#breakdowns());
    this.world.every(BASELINES_EVERY_MS, () => this.#baseline());
  }

  compareWith(past: Past | null): void {
    this.#past = past;
    this.#set({ baseline: null });
    this.#baseline();
  }

  #set(part: Partial<Business>): void {
    this.#business = { ...this.#business, ...part };
    this.changed();
  }

  /** One at a time, and none that nobody sees. Alerts go into the title of a hidden tab, too. */
  #ask(kind: string, ask: () => Promise<Partial<Business>>, hiddenToo = false): void {
    if (this.#asking.has(kind) || (!hiddenToo && !this.world.isVisible())) return;
    this.#asking.add(kind);
    ask()
      .then((part) => this.#set(part))
      .catch(() => undefined)
      .finally(() => this.#asking.delete(kind));
  }

  #catalogue(): void {
    this.#ask('catalogue', async () => {
      const first = this.#business.catalogue.breakdowns.length === 0;
      const catalogue = toCatalogue(await this.world.get('/api/analytics/metrics'));
      if (first) setTimeout(() => this.#breakdowns());
      return { catalogue };
    });
  }

  #metrics(): void {
    this.#ask('metrics', async () => ({ metrics: toMetricValues(await this.world.get('/api/analytics/current')) }));
  }

  #alerts(): void {
    this.#ask('alerts', async () => ({ alerts: toAlerts(await this.world.get('/api/analytics/alerts')) }), true);
  }

  #breakdowns(): void {
    this.#ask('breakdowns', async () => {
      const ask = async (type: string, property: string): Promise<Breakdown> => {
        const path = (minutes: number) =>
          `/api/analytics/breakdown?${new URLSearchParams({ type, property, minutes: `${minutes}`, limit: '100' })}`;
        const [now, both] = await Promise.all([
          this.world.get(path(BREAKDOWN_MINUTES)).then(toValueCounts),
          this.world.get(path(2 * BREAKDOWN_MINUTES)).then(toValueCounts),
        ]);
        return { type, property, now, before: countsBefore(now, both) };
      };
      const wanted = this.#business.catalogue.breakdowns;
      return { breakdowns: await Promise.all(wanted.map(({ type, property }) => ask(type, property))) };
    });
  }

  #baseline(): void {
    const past = this.#past;
    if (past === null) return;
    this.#ask(`baseline ${past}`, async () => {
      const path = (metric: string) => `/api/analytics/timeseries?metric=${metric}&hours=1&baseline=${past}`;
      const [pageViews, errors] = await Promise.all([
        this.world.get(path('page_views')).then(toPoints),
        this.world.get(path('errors')).then(toPoints),
      ]);
      return past === this.#past ? { baseline: { past, pageViews, errors } } : {};
    });
  }
}

export function browserAsking(token: () => string | null): Asking {
  return {
    async get(path) {
      const bearer = token();
      const response = await fetch(path, {
        headers: bearer ? { Authorization: `Bearer ${bearer}` } : {},
        cache: 'no-store',
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      if (!response.ok) throw new Error(`${path}: ${response.status}`);
      return response.json();
    },
    isVisible: () => document.visibilityState === 'visible',
    every(ms, run) {
      run();
      setInterval(run, ms);
    },
  };
}
