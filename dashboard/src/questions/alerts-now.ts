// How it stands with what fires. An alert has the numbers of the moment it fired; whoever looks at it an
// hour later wants to know whether it is still so, and how bad it was in between.

import { clockMinute } from '../format';
import { MINUTE_MS, bucketStart } from '../stream/series';
import { amount, type UnitOf } from './alert-words';
import { alertsQuestion, type Alert } from './alerts';
import { pointsOf, type PointsByTime } from './baseline';
import { catalogueQuestion, unitIn } from './metrics';
import type { Parameters, Question } from './question';

/** Alerts that are shown with their numbers of now. */
export const FOLLOWED = 3;

/** The longest stretch that is asked for, in hours. */
const MOST_HOURS = 24;

/** By alert id, the metric by minute since before it fired. */
export type Courses = ReadonlyMap<string, PointsByTime>;

export const alertsNowQuestion: Question<Courses> = {
  initially: () => new Map(),
  everyMs: 10_000,
  isOfMoment: true,
  needs: catalogueQuestion,
  async round({ ask, known, answerTo, now, moment }) {
    // Nothing is known by the minute of a metric that may not be seen, or of drift, which is about a property.
    const isMetric = unitIn(answerTo(catalogueQuestion));
    const isFollowed = ({ isHidden, metric }: Alert) => !isHidden && isMetric(metric) !== null;
    const followed = answerTo(alertsQuestion).firing.slice(0, FOLLOWED).filter(isFollowed);
    if (followed.length === 0) return new Map();
    const hours = followed.map(({ since }) => Math.ceil((now() - since) / (60 * MINUTE_MS)) || 1);
    const metrics = [...new Set(followed.map(({ metric }) => metric))];
    const span = Math.min(MOST_HOURS, Math.max(...hours));
    const at = moment();
    const when: Parameters =
      at === null ? { hours: String(span) } : { from: String(at - span * 60 * MINUTE_MS), to: String(at + 1) };
    const parameters = { metric: metrics.join(','), ...when };
    const answer = await ask('timeseries', parameters);
    const courseOf = ({ id, metric }: Alert): [string, PointsByTime | undefined] =>
      answer.kind === 'ok' ? [id, pointsOf(answer.body, metric)] : [id, known().get(id)];
    const courses = followed.map(courseOf);
    return new Map(courses.filter((course): course is [string, PointsByTime] => course[1] !== undefined));
  },
};

/** "Now 2% (14:09), worst 34% (14:05)." Or "No data since 14:03." Empty where nothing is known. */
export function howItStands(
  alert: Alert,
  course: PointsByTime | undefined,
  now: number,
  { currency, timezone, unitOf }: { currency: string; timezone: string; unitOf: UnitOf },
): string {
  if (!course) return '';
  const from = bucketStart(alert.since, MINUTE_MS) - MINUTE_MS;
  const last = bucketStart(now, MINUTE_MS) - MINUTE_MS;
  // The minute in progress has too little to speak of.
  const minutes = [...course].filter(([time]) => time >= from && time <= last).sort(([a], [b]) => a - b);
  const counted = minutes.filter((minute): minute is [number, number] => minute[1] !== null);
  const [newestAt, newest] = counted.at(-1) ?? [null, null];
  if (newestAt === null) return minutes.length === 0 ? '' : `No data since ${clockMinute(from, timezone)}.`;
  const unit = alert.unit ?? unitOf(alert.metric);
  const text = (value: number, at: number) => `${amount(value, unit, currency)} (${clockMinute(at, timezone)})`;
  const isFall = alert.value < (alert.baseline ?? alert.threshold);
  const [worstAt, worst] = counted.reduce((a, b) => ((isFall ? b[1] < a[1] : b[1] > a[1]) ? b : a));
  const standing =
    last - newestAt > MINUTE_MS
      ? `No data since ${clockMinute(newestAt + MINUTE_MS, timezone)}`
      : `Now ${text(newest, newestAt)}`;
  return `${standing}, worst minute ${text(worst, worstAt)}.`;
}
