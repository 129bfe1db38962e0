// The last hour by minute: page views, and under them errors on a scale of their own. On a shared
// scale a hundred page views would hide the one error that matters. A line over both shows the same
// hour of another day, where it is known.

import { quarterHours } from '../charts/scale';
import { TitledChart } from '../charts/TitledChart';
import { clockMinute, count, countCompact } from '../format';
import type { Answer } from '../questions/ask';
import {
  BASELINES,
  BASELINE_WORDS,
  chosenBaseline,
  parsePoints,
  pointsAt,
  rememberBaseline,
  type Baseline,
  type PointsByTime,
} from '../questions/baseline';
import { nameInWords } from '../questions/metrics';
import type { Question } from '../questions/question';
import { MINUTE_MS, lastBuckets, type Point } from '../stream/series';
import { MINUTES_SHOWN } from '../stream/state';
import type { Panel, PanelProps } from './panel';

/** Event types with a chart, as the time series calls them. */
const TYPES = ['page_view', 'error'] as const;
type ChartedType = (typeof TYPES)[number];

interface BaselineKnown {
  baseline: Baseline;
  /** Null until the first answer, and where the server has none to give. */
  points: Readonly<Record<ChartedType, PointsByTime | null>>;
  /** The server has answered, whatever it said. */
  isAnswered: boolean;
}

const unanswered = (baseline: Baseline): BaselineKnown => ({
  baseline,
  points: { page_view: null, error: null },
  isAnswered: false,
});

/** The other day's hour: one request for each chart. Where one of them fails, the last answer stays. */
const baselineQuestion: Question<BaselineKnown> = {
  initially: () => unanswered(chosenBaseline()),
  // Less than a minute, so that the newest minute of the other day is not missing for long.
  everyMs: 10_000,
  async round({ ask, known }) {
    const { baseline } = known();
    const asked = TYPES.map((type) => ask('timeseries', { type, hours: '1', baseline }));
    const [pageViews, errors] = await Promise.all(asked);
    if (pageViews?.kind === 'failed' || errors?.kind === 'failed') return known();
    const points = (answer: Answer | undefined) => (answer?.kind === 'ok' ? parsePoints(answer.body) : null);
    return { baseline, points: { page_view: points(pageViews), error: points(errors) }, isAnswered: true };
  },
};

export const hour: Panel = {
  id: 'hour',
  place: 'board',
  shownIn: 'a shop with events',
  metrics: ['page_views', 'errors'],
  asks: [baselineQuestion],
  Content: Hour,
};

const WINDOW = 'last 60 minutes';

const plural = (value: number, one: string, many: string) => `${count(value)} ${value === 1 ? one : many}`;

function Hour({ view }: PanelProps) {
  const { state } = view;
  // The section keeps the place of the charts until the first snapshot.
  if (!state) return <section class="hour" />;
  const other = view.answerTo(baselineQuestion);
  const choose = (baseline: Baseline) => {
    if (baseline === other.baseline) return;
    rememberBaseline(baseline);
    view.startOver(baselineQuestion, unanswered(baseline));
  };
  const minutes = lastBuckets(state.minutes, view.asOf, MINUTE_MS, MINUTES_SHOWN);
  const times = minutes.map((point) => point.timestamp);
  const shared = (pick: (point: Point) => number, type: ChartedType) => ({
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
      <BaselineChoice {...other} isKnown={isKnown(other, times)} onChoose={choose} />
      <TitledChart
        {...shared((point) => point.pageViews, 'page_view')}
        title="Page views by minute"
        unit="Page views"
        colours={{ bar: '--views-bar', growing: '--views-growing' }}
        leastTop={4}
        hasTimeLabels={false}
        valueText={(value) => plural(value, 'page view', 'page views')}
        quietText="No page views in the last 60 minutes"
      />
      <TitledChart
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

const isKnown = ({ points }: BaselineKnown, times: readonly number[]): boolean =>
  Object.values(points).some((series) => pointsAt(series, times).some((value) => value !== null));

interface BaselineChoiceProps extends BaselineKnown {
  isKnown: boolean;
  onChoose(baseline: Baseline): void;
}

function BaselineChoice({ baseline, isAnswered, isKnown, onChoose }: BaselineChoiceProps) {
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
          onClick={() => onChoose(choice)}
        >
          {nameInWords(choice)}
        </button>
      ))}
    </div>
  );
}
