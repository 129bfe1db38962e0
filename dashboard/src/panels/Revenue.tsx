// Revenue: today's total, which is the largest thing on the page, how it stands to another day up to the same
// moment, and under it the last minute by second or the last hour by minute.
// Who may not see money gets a dash, and purchases in the place of amounts.

import { useState } from 'preact/hooks';
import { TitledChart } from '../charts/TitledChart';
import { Hidden } from '../components/Hidden';
import { isCurrent } from '../components/words';
import {
  age,
  changeText,
  clockMinute,
  clockSecond,
  count,
  countCompact,
  money,
  moneyCompact,
  moneyDigits,
  moneyParts,
} from '../format';
import { MONEY_SCALE } from '../stream/frames';
import { MINUTE_MS, SECOND_MS, lastBuckets, sumOf, type Point } from '../stream/series';
import { MINUTES_SHOWN, SECONDS_SHOWN, isHidden } from '../stream/state';
import { quarterHours } from '../charts/scale';
import { choicesAt, occasionsQuestion, otherDayQuestion, pointsAt, revenueThen, wordsOf } from '../questions/baseline';
import { useMarksOfHour } from '../questions/marks';
import { recall, remember } from '../storage';
import { travel } from '../router/travel';
import type { Panel, PanelProps } from './panel';

export const revenue: Panel = {
  id: 'revenue',
  place: 'board',
  shownIn: 'every shop',
  metrics: ['revenue'],
  asks: [otherDayQuestion, occasionsQuestion],
  Content: Revenue,
};

/** Below so many rem there is no room for a label every 15 seconds. */
const NARROW = 22;

/** A shop with fewer orders in an hour is drawn by minute unless somebody says otherwise: by second it would be an
 * empty grid most of the time. */
const ORDERS_BY_SECOND = 360;

const WIDTHS = ['seconds', 'minutes'] as const;
type Width = (typeof WIDTHS)[number];
const WIDTH_WORDS: Readonly<Record<Width, string>> = { seconds: '60 seconds', minutes: '60 minutes' };
const WIDTH_KEY = 'floodmark.revenue';

const chosenWidth = (): Width | null => WIDTHS.find((width) => width === recall(WIDTH_KEY)) ?? null;

/** The same places at every moment, so that the labels stand still while the bars move. */
const secondTicks = (_from: number, to: number, rems: number) =>
  (rems < NARROW ? [40, 20, 0] : [45, 30, 15, 0]).map((ago) => to - ago - 0.5);
const secondLabel = (tick: number, end: number) => {
  const ago = Math.round(end - tick - 0.5);
  return ago === 0 ? 'now' : `${ago} s ago`;
};

/** The size of the cents, as a share of the main digits' size: the same as `.cents` in the style sheet. */
const CENTS_SIZE = 0.55;

/** About how wide a number is, in ems. It fits any of our fonts, and errs towards too wide. */
const ems = (text: string): number =>
  [...text].reduce((sum, char) => sum + (/[.,'’\s]/.test(char) ? 0.38 : /\d/.test(char) ? 0.68 : 0.72), 0);

const purchases = (value: number): string => `${count(value)} ${value === 1 ? 'purchase' : 'purchases'}`;

function Revenue({ view }: PanelProps) {
  const { state, asOf, ageMs, zone } = view;
  const marks = useMarksOfHour(view);
  const current = isCurrent(view);
  const currency = state?.currency ?? 'USD';
  const hidden = isHidden(state, 'revenue');
  const parts = hidden ? null : state && moneyParts(state.totals.revenue, currency);
  // Without a number, there is a dash, perhaps with a word.
  const width = parts ? ems(parts.main) + CENTS_SIZE * ems(parts.cents) + ems(parts.tail) : hidden ? 5 : 2;

  const [chosen, setChosen] = useState(chosenWidth);
  const seconds = state ? lastBuckets(state.seconds, asOf, SECOND_MS, SECONDS_SHOWN) : [];
  const hour = state ? lastBuckets(state.minutes, asOf, MINUTE_MS, MINUTES_SHOWN) : [];
  const inWords = (points: readonly Point[]) =>
    hidden
      ? purchases(sumOf(points, (point) => point.purchases))
      : money(
          sumOf(points, (point) => point.revenue),
          currency,
        );
  const isQuick = sumOf(hour, (point) => point.purchases) >= ORDERS_BY_SECOND;
  // Of a moment of the past, seconds may not be known.
  const hasSeconds = state?.hasSeconds ?? true;
  const span = hasSeconds ? (chosen ?? (isQuick ? 'seconds' : 'minutes')) : 'minutes';
  const other = view.answerTo(otherDayQuestion);
  const otherName = wordsOf(other.baseline, choicesAt(view.answerTo(occasionsQuestion), asOf));
  const then = hidden || !state ? null : revenueThen(other);

  const value = (point: Point) => (hidden ? point.purchases : point.revenue / MONEY_SCALE);
  const look = {
    unit: hidden ? 'Purchases' : 'Revenue',
    colours: { bar: '--tide-bar', growing: '--tide-growing' },
    leastTop: 2,
    hasTimeLabels: true,
    marks,
    yLabel: (tick: number) => (hidden ? countCompact(tick) : moneyCompact(tick, currency)),
    valueText: (amount: number) => (hidden ? purchases(amount) : money(Math.round(amount * MONEY_SCALE), currency)),
  };

  return (
    <section class="tide" aria-labelledby="revenue" data-testid="card-revenue">
      <div class="tide-head">
        <h2 id="revenue">
          Revenue <span class="window">{view.dayWord}</span>
        </h2>
        {state && !current && (
          <p class="as-of">
            as of {clockSecond(state.timestamp, zone)}, {age(ageMs)} ago
          </p>
        )}
      </div>
      <p
        class="value tide-value"
        data-testid="value"
        data-value={state && !hidden ? moneyDigits(state.totals.revenue) : ''}
        style={`--ems:${width}`}
      >
        {parts ? (
          <>
            {parts.main}
            <span class="cents">{parts.cents}</span>
            {parts.tail}
          </>
        ) : hidden ? (
          <Hidden />
        ) : (
          '–'
        )}
      </p>
      {state && (
        <dl class="tide-windows">
          {then !== null && (
            <div data-testid="revenue-then" data-value={then}>
              <dt>
                {otherName} by {view.past ? 'then' : 'now'}
              </dt>
              <dd>
                {money(Math.round(then * MONEY_SCALE), currency)}
                {then > 0 && ` (${changeText(state.totals.revenue / MONEY_SCALE / then - 1)})`}
              </dd>
            </div>
          )}
          {hasSeconds && (
            <div>
              <dt>last 60 seconds</dt>
              <dd>{inWords(seconds)}</dd>
            </div>
          )}
          <div>
            <dt>last 60 minutes</dt>
            <dd>{inWords(hour)}</dd>
          </div>
        </dl>
      )}
      {state && (
        <div class="tide-spans" role="group" aria-label="Chart of">
          {WIDTHS.filter((width) => hasSeconds || width === 'minutes').map((width) => (
            <button
              type="button"
              key={width}
              aria-pressed={width === span}
              data-testid={`revenue-${width}`}
              onClick={() => {
                remember(WIDTH_KEY, width);
                setChosen(width);
              }}
            >
              {WIDTH_WORDS[width]}
            </button>
          ))}
        </div>
      )}
      {state && span === 'seconds' && (
        <TitledChart
          {...look}
          title={hidden ? 'Purchases by second' : 'By second'}
          window="last 60 seconds"
          times={seconds.map((point) => point.timestamp)}
          values={seconds.map(value)}
          bucketMs={SECOND_MS}
          onPick={(time) => travel(time + SECOND_MS, view.now)}
          xTicks={secondTicks}
          // "15 s ago" is true only while the end of the chart is now.
          xLabel={current ? secondLabel : (tick) => clockSecond(tick * 1000, zone)}
          labelsKey={current ? 'ago' : 'clock'}
          timeText={(time) => `at ${clockSecond(time, zone)}`}
          quietText={`No ${hidden ? 'purchases' : 'revenue'} in the last 60 seconds`}
        />
      )}
      {state && span === 'minutes' && (
        <TitledChart
          {...look}
          title={hidden ? 'Purchases by minute' : 'By minute'}
          window="last 60 minutes"
          times={hour.map((point) => point.timestamp)}
          values={hour.map(value)}
          baseline={pointsAt(
            hidden ? other.points.purchases : other.points.revenue,
            hour.map((point) => point.timestamp),
          )}
          baselineName={otherName}
          bucketMs={MINUTE_MS}
          onPick={(time) => travel(time + MINUTE_MS, view.now)}
          xTicks={quarterHours}
          xLabel={(tick) => clockMinute(tick * 1000, zone)}
          labelsKey="minutes"
          timeText={(time) => `at ${clockMinute(time, zone)}`}
          quietText={`No ${hidden ? 'purchases' : 'revenue'} in the last 60 minutes`}
        />
      )}
    </section>
  );
}
