// Alerts that fire and alerts that are over. The stream says what fires; GET /api/analytics/alerts
// says both. alert-words.ts puts them into words.

import { isObject, number, numberOrNull, objects, string, strings } from '../json';
import { nameInWords, toUnit, type Unit } from './metrics';
import type { Question } from './question';

export type Severity = 'critical' | 'warning' | 'info';

export interface Explanation {
  property: string;
  value: string;
  /** Of what came more, or less, than before: 0 to 1. */
  share: number;
  /** Type of the events that are meant; empty where the server doesn't say. */
  event: string;
}

/** What accounts for it, as far as the stored events tell. */
export interface Cause {
  /** "gateway=adyen", each as `where` of a metric has it. */
  conditions: readonly string[];
  /** The same as properties and values, where all are equalities. */
  where: Readonly<Record<string, string>> | null;
  /** The metric of its events, and what it was before. */
  value: number;
  was: number;
  /** Its part of the difference, 0 to 1. */
  share: number;
}

export interface Alert {
  /** The same as long as it is the same firing. */
  id: string;
  name: string;
  title: string;
  severity: Severity;
  metric: string;
  unit: Unit | null;
  /** Unix milliseconds. */
  since: number;
  /** When it was over; null while it fires, or where that isn't known. */
  clearedAt: number | null;
  /** When it was last seen to be so bad; null while it fires, or where that isn't known. */
  breachedUntil: number | null;
  windowSeconds: number | null;
  value: number;
  threshold: number;
  /** What the value usually is; null where the rule doesn't ask. */
  baseline: number | null;
  explains: readonly Explanation[];
  causes: readonly Cause[];
  /** The numbers say nothing, since this viewer may not see them. */
  isHidden: boolean;
}

export interface Alerts {
  /** The most severe first; of one severity, the one that fires longest. */
  firing: readonly Alert[];
  /** Those that are over, the last first. */
  history: readonly Alert[];
}

export const NO_ALERTS: Alerts = { firing: [], history: [] };

const SEVERITIES: readonly Severity[] = ['critical', 'warning', 'info'];

/** A severity this page doesn't know is taken for a serious one: better told than hidden. */
const toSeverity = (value: unknown): Severity => SEVERITIES.find((known) => known === value) ?? 'warning';

export const parseCauses = (value: unknown): readonly Cause[] =>
  objects(value).map((cause) => {
    const entries = isObject(cause.where) ? Object.entries(cause.where).map(([name, of]) => [name, String(of)]) : [];
    const isRange = (of: string) => /^[<>]/.test(of);
    return {
      conditions: entries.map(([name, of]) => (isRange(of!) ? `${name}${of}` : `${name}=${of}`)),
      where: entries.some(([, of]) => isRange(of!)) ? null : Object.fromEntries(entries),
      value: number(cause.value),
      was: number(cause.was),
      share: number(cause.share),
    };
  });

function toAlert(entry: Record<string, unknown>): Alert {
  const name = string(entry.name, 'alert');
  const since = number(entry.since);
  const hidden = strings(entry.hidden);
  return {
    id: string(entry.id, `${name} ${since}`),
    name,
    title: hidden.includes('title') ? nameInWords(name) : string(entry.title, nameInWords(name)),
    severity: toSeverity(entry.severity),
    metric: string(entry.metric, ''),
    unit: typeof entry.unit === 'string' ? toUnit(entry.unit) : null,
    since,
    clearedAt: numberOrNull(entry.clearedAt),
    breachedUntil: numberOrNull(entry.breachedUntil),
    windowSeconds: numberOrNull(entry.windowSeconds),
    value: number(entry.value),
    threshold: number(entry.threshold),
    baseline: numberOrNull(entry.baseline),
    explains: objects(entry.explains)
      .map((explains) => ({
        property: string(explains.property, ''),
        value: string(explains.value, ''),
        share: number(explains.share),
        event: string(explains.event, ''),
      }))
      .filter(({ property }) => property !== ''),
    causes: parseCauses(entry.causes),
    isHidden: hidden.includes('value'),
  };
}

const rank = ({ severity }: Alert): number => SEVERITIES.indexOf(severity);

export const parseFiring = (entries: readonly Record<string, unknown>[]): readonly Alert[] =>
  entries.map(toAlert).sort((a, b) => rank(a) - rank(b) || a.since - b.since);

export function parseAlerts(body: unknown): Alerts {
  if (!isObject(body)) return NO_ALERTS;
  const history = objects(body.history).map(toAlert);
  return {
    firing: parseFiring(objects(body.firing)),
    history: history.sort((a, b) => b.since - a.since),
  };
}

export interface AlertsKnown extends Alerts {
  /** The stream has said what fires. An answer over HTTP may be older, or of another node. */
  isHeard: boolean;
  /** The server has answered over HTTP, so the history is known, too. */
  isAnswered: boolean;
}

/** The pause while the stream says nothing of alerts, as that of an older server. */
const EVERYTHING_EVERY_MS = 2_000;
/** The pause once the stream says what fires: only the history is news then. */
const HISTORY_EVERY_MS = 60_000;
/** By then an alert that was over in a frame is in the history of every node, not only of the one that streams. */
const HISTORY_AFTER_MS = 2_500;

export const alertsQuestion: Question<AlertsKnown> = {
  initially: () => ({ ...NO_ALERTS, isHeard: false, isAnswered: false }),
  everyMs: ({ isHeard }) => (isHeard ? HISTORY_EVERY_MS : EVERYTHING_EVERY_MS),
  async round({ ask, known }) {
    const answer = await ask('alerts');
    if (answer.kind === 'failed') return known();
    const { isHeard, firing } = known();
    const asked = answer.kind === 'ok' ? parseAlerts(answer.body) : NO_ALERTS;
    return { ...asked, firing: isHeard ? firing : asked.firing, isHeard, isAnswered: true };
  },
  hear({ firing, playback }, known) {
    if (firing === null) return null;
    // An alert that does not fire any more is in the history now; a playback changes nothing of that.
    const askAfterMs = playback ? [] : [0, HISTORY_AFTER_MS];
    return { known: { ...known, firing: parseFiring(firing), isHeard: true }, askAfterMs };
  },
};
