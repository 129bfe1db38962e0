// The last hour by minute: page views, and under them errors on a scale of their own. On a shared
// scale a hundred page views would hide the one error that matters. A line over both shows the same
// hour of another day, where it is known.

import { quarterHours } from '../charts/scale';
import { TitledChart } from '../charts/TitledChart';
import { clockMinute, count, countCompact } from '../format';
import {
  choicesAt,
  occasionsQuestion,
  otherDayQuestion,
  pointsAt,
  rememberBaseline,
  unanswered,
  wordsOf,
  type Baseline,
  type BaselineChoice,
  type OtherDay,
} from '../questions/baseline';
import { useMarksOfHour } from '../questions/marks';
import { nameInWords } from '../questions/metrics';
import { MINUTE_MS, lastBuckets, type Point } from '../stream/series';
import { MINUTES_SHOWN } from '../stream/state';
import { travel } from '../router/travel';
import type { Panel, PanelProps } from './panel';

export const hour: Panel = {
  id: 'hour',
  place: 'board',
  shownIn: 'a shop with events',
  metrics: ['page_views', 'errors'],
  asks: [otherDayQuestion, occasionsQuestion],
  Content: Hour,
};

const WINDOW = 'last 60 minutes';

const plural = (value: number, one: string, many: string) => `${count(value)} ${value === 1 ? one : many}`;

function Hour({ view }: PanelProps) {
  const { state, zone } = view;
  const marks = useMarksOfHour(view);
  // The section keeps the place of the charts until the first snapshot.
  if (!state) return <section class="hour" />;
  const other = view.answerTo(otherDayQuestion);
  const choices = choicesAt(view.answerTo(occasionsQuestion), view.asOf);
  const choose = (baseline: Baseline) => {
    if (baseline === other.baseline) return;
    rememberBaseline(baseline);
    view.startOver(otherDayQuestion, unanswered(baseline));
  };
  const minutes = lastBuckets(state.minutes, view.asOf, MINUTE_MS, MINUTES_SHOWN);
  const times = minutes.map((point) => point.timestamp);
  const shared = (pick: (point: Point) => number, name: 'pageViews' | 'errors') => ({
    times,
    values: minutes.map(pick),
    baseline: pointsAt(other.points[name], times),
    baselineName: wordsOf(other.baseline, choices),
    marks,
    bucketMs: MINUTE_MS,
    onPick: (time: number) => travel(time + MINUTE_MS, view.now),
    yLabel: countCompact,
    xTicks: quarterHours,
    xLabel: (tick: number) => clockMinute(tick * 1000, zone),
    timeText: (time: number) => `at ${clockMinute(time, zone)}`,
    syncKey: 'hour',
    window: WINDOW,
  });

  return (
    <section class="hour" aria-label="The last hour, by minute">
      <OtherDayChoice {...{ other, choices }} isKnown={isKnown(other, times)} onChoose={choose} />
      <TitledChart
        {...shared((point) => point.pageViews, 'pageViews')}
        title="Page views by minute"
        unit="Page views"
        colours={{ bar: '--views-bar', growing: '--views-growing' }}
        leastTop={4}
        hasTimeLabels={false}
        valueText={(value) => plural(value, 'page view', 'page views')}
        quietText="No page views in the last 60 minutes"
      />
      <TitledChart
        {...shared((point) => point.errors, 'errors')}
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

const isKnown = ({ points }: OtherDay, times: readonly number[]): boolean =>
  Object.values(points).some((series) => pointsAt(series, times).some((value) => value !== null));

interface OtherDayChoiceProps {
  other: OtherDay;
  choices: readonly BaselineChoice[];
  isKnown: boolean;
  onChoose(baseline: Baseline): void;
}

function OtherDayChoice({ other, choices, isKnown, onChoose }: OtherDayChoiceProps) {
  const { baseline, isAnswered } = other;
  return (
    <div class="compare" role="group" aria-label="Compare with">
      <span class="window">
        {isAnswered && !isKnown ? `No history of ${wordsOf(baseline, choices)} yet` : 'Compared with'}
      </span>
      {choices.map(({ name, words }) => (
        <button
          type="button"
          key={name}
          aria-pressed={name === baseline}
          data-testid={`baseline-${name}`}
          onClick={() => onChoose(name)}
        >
          {nameInWords(words)}
        </button>
      ))}
    </div>
  );
}
