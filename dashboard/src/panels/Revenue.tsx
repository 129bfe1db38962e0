// Revenue: today's total, which is the largest thing on the page, and under it the last minute by second.

import { TitledChart } from '../charts/TitledChart';
import { isCurrent } from '../components/words';
import { clockSecond, age, money, moneyCompact, moneyDigits, moneyParts } from '../format';
import { MONEY_SCALE } from '../stream/frames';
import { MINUTE_MS, SECOND_MS, lastBuckets, sumOf } from '../stream/series';
import { MINUTES_SHOWN, SECONDS_SHOWN } from '../stream/state';
import type { Panel, PanelProps } from './panel';

export const revenue: Panel = {
  id: 'revenue',
  place: 'board',
  shownIn: 'every shop',
  metrics: ['revenue'],
  Content: Revenue,
};

/** The same places at every moment, so that the labels stand still while the bars move. */
const secondTicks = (_from: number, to: number) => [45, 30, 15, 0].map((ago) => to - ago - 0.5);
const secondLabel = (tick: number, end: number) => {
  const ago = Math.round(end - tick - 0.5);
  return ago === 0 ? 'now' : `${ago} s ago`;
};

/** The size of the cents, as a share of the main digits' size: the same as `.cents` in the style sheet. */
const CENTS_SIZE = 0.55;

/** About how wide a number is, in ems. It fits any of our fonts, and errs towards too wide. */
const ems = (text: string): number =>
  [...text].reduce((sum, char) => sum + (/[.,'’\s]/.test(char) ? 0.38 : /\d/.test(char) ? 0.68 : 0.72), 0);

function Revenue({ view }: PanelProps) {
  const { state, asOf, ageMs } = view;
  const current = isCurrent(view);
  const currency = state?.currency ?? 'USD';
  const parts = state && moneyParts(state.totals.revenue, currency);
  const width = parts ? ems(parts.main) + CENTS_SIZE * ems(parts.cents) + ems(parts.tail) : 2;

  const seconds = state ? lastBuckets(state.seconds, asOf, SECOND_MS, SECONDS_SHOWN) : [];
  const hour = state ? lastBuckets(state.minutes, asOf, MINUTE_MS, MINUTES_SHOWN) : [];

  return (
    <section class="tide" aria-labelledby="revenue" data-testid="card-revenue">
      <div class="tide-head">
        <h2 id="revenue">
          Revenue <span class="window">today</span>
        </h2>
        {state && !current && (
          <p class="as-of">
            as of {clockSecond(state.timestamp, state.timezone)}, {age(ageMs)} ago
          </p>
        )}
      </div>
      <p
        class="value tide-value"
        data-testid="value"
        data-value={state ? moneyDigits(state.totals.revenue) : ''}
        style={`--ems:${width}`}
      >
        {parts ? (
          <>
            {parts.main}
            <span class="cents">{parts.cents}</span>
            {parts.tail}
          </>
        ) : (
          '–'
        )}
      </p>
      {state && (
        <dl class="tide-windows">
          <div>
            <dt>last 60 seconds</dt>
            <dd>
              {money(
                sumOf(seconds, (point) => point.revenue),
                currency,
              )}
            </dd>
          </div>
          <div>
            <dt>last 60 minutes</dt>
            <dd>
              {money(
                sumOf(hour, (point) => point.revenue),
                currency,
              )}
            </dd>
          </div>
        </dl>
      )}
      {state && (
        <TitledChart
          title="By second"
          window="last 60 seconds"
          unit="Revenue"
          times={seconds.map((point) => point.timestamp)}
          values={seconds.map((point) => point.revenue / MONEY_SCALE)}
          bucketMs={SECOND_MS}
          colours={{ bar: '--tide-bar', growing: '--tide-growing' }}
          leastTop={2}
          yLabel={(value) => moneyCompact(value, currency)}
          xTicks={secondTicks}
          // "15 s ago" is true only while the end of the chart is now.
          xLabel={current ? secondLabel : (tick) => clockSecond(tick * 1000, state.timezone)}
          labelsKey={current ? 'ago' : 'clock'}
          hasTimeLabels
          timeText={(time) => `at ${clockSecond(time, state.timezone)}`}
          valueText={(value) => money(Math.round(value * MONEY_SCALE), currency)}
          quietText="No revenue in the last 60 seconds"
        />
      )}
    </section>
  );
}
