// The last hour by minute: page views, and under them errors on a scale of their own. On a shared
// scale a hundred page views would hide the one error that matters. Over both, if it is known, the
// same hour of another day.

import { quarterHours } from '../charts/scale';
import { clockMinute, count, countCompact } from '../format';
import type { View } from '../live';
import { BASELINES, BASELINE_WORDS, pointsAt, type Baseline } from '../questions/baseline';
import { nameInWords } from '../questions/metrics';
import type { BaselineAnswer, BaselineType } from '../questions/questions';
import { MINUTE_MS, lastBuckets, type Point } from '../stream/series';
import { MINUTES_SHOWN, type LiveState } from '../stream/state';
import { ChartPanel } from './ChartPanel';

const WINDOW = 'last 60 minutes';

const plural = (value: number, one: string, many: string) => `${count(value)} ${value === 1 ? one : many}`;

interface HourProps {
  view: View;
  state: LiveState;
  onBaseline(baseline: Baseline): void;
}

export function Hour({ view, state, onBaseline }: HourProps) {
  const { baseline: other } = view.answers;
  const minutes = lastBuckets(state.minutes, view.asOf, MINUTE_MS, MINUTES_SHOWN);
  const times = minutes.map((point) => point.timestamp);
  const shared = (pick: (point: Point) => number, type: BaselineType) => ({
    times,
    values: minutes.map(pick),
    baseline: pointsAt(other.points[type], times),
    baselineName: BASELINE_WORDS[other.baseline],
    bucketMs: MINUTE_MS,
    yLabel: countCompact,
    xTicks: quarterHours,
    xLabel: (tick: number) => clockMinute(tick * 1000, state.timezone),
    timeText: (time: number) => `at ${clockMinute(time, state.timezone)}`,
    syncKey: 'hour',
    window: WINDOW,
  });

  return (
    <section class="hour" aria-label="The last hour, by minute">
      <BaselineChoice {...other} isKnown={isKnown(other, times)} onBaseline={onBaseline} />
      <ChartPanel
        {...shared((point) => point.pageViews, 'page_view')}
        title="Page views by minute"
        unit="Page views"
        colours={{ bar: '--views-bar', growing: '--views-growing' }}
        leastTop={4}
        hasTimeLabels={false}
        valueText={(value) => plural(value, 'page view', 'page views')}
        quietText="No page views in the last 60 minutes"
      />
      <ChartPanel
        {...shared((point) => point.errors, 'error')}
        title="Errors by minute"
        unit="Errors"
        colours={{ bar: '--error-bar', growing: '--error-growing' }}
        leastTop={4}
        hasTimeLabels
        valueText={(value) => plural(value, 'error', 'errors')}
        quietText="No errors in the last 60 minutes"
      />
    </section>
  );
}

const isKnown = ({ points }: BaselineAnswer, times: readonly number[]): boolean =>
  Object.values(points).some((series) => pointsAt(series, times).some((value) => value !== null));

interface BaselineChoiceProps extends BaselineAnswer {
  isKnown: boolean;
  onBaseline(baseline: Baseline): void;
}

function BaselineChoice({ baseline, isAnswered, isKnown, onBaseline }: BaselineChoiceProps) {
  return (
    <div class="compare" role="group" aria-label="Compare with">
      <span class="window">
        {isAnswered && !isKnown ? `No history of ${BASELINE_WORDS[baseline]} yet` : 'Compared with'}
      </span>
      {BASELINES.map((choice) => (
        <button
          type="button"
          key={choice}
          aria-pressed={choice === baseline}
          data-testid={`baseline-${choice}`}
          onClick={() => onBaseline(choice)}
        >
          {nameInWords(choice)}
        </button>
      ))}
    </div>
  );
}
