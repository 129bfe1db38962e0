// The last hour by minute: page views, and under them errors on a scale of their own. On a shared
// scale a hundred page views would hide the one error that matters.

import { quarterHours } from '../charts/scale';
import { clockMinute, count, countCompact } from '../format';
import type { View } from '../live';
import { MINUTE_MS, lastBuckets, type Point } from '../stream/series';
import { MINUTES_SHOWN, type LiveState } from '../stream/state';
import { ChartPanel } from './ChartPanel';

const WINDOW = 'last 60 minutes';
const NOTHING: ReadonlyMap<number, number> = new Map();

const plural = (value: number, one: string, many: string) => `${count(value)} ${value === 1 ? one : many}`;

const COMPARED: Record<'yesterday' | 'last_week' | 'none', string> = {
  none: 'Compare with yesterday',
  yesterday: 'Compared with yesterday',
  last_week: 'Compared with last week',
};

const PAST_NAME = { yesterday: 'Yesterday', last_week: 'Last week' } as const;

export function Hour({ view, state, onCompare }: { view: View; state: LiveState; onCompare(): void }) {
  const { past } = view;
  const baseline = view.business.baseline;
  const isUnknown = baseline !== null && baseline.pageViews.size === 0 && baseline.errors.size === 0;
  const minutes = lastBuckets(state.minutes, view.asOf, MINUTE_MS, MINUTES_SHOWN);
  const shared = (pick: (point: Point) => number, then: ReadonlyMap<number, number>) => ({
    times: minutes.map((point) => point.timestamp),
    values: minutes.map(pick),
    ...(past && baseline ? { past: { name: PAST_NAME[past], values: minutes.map(({ timestamp }) => then.get(timestamp) ?? null) } } : {}),
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
      <button type="button" class="compare" onClick={onCompare} data-testid="compare" data-past={past ?? ''}>
        {COMPARED[past ?? 'none']}
        {isUnknown && ': nothing is known from then'}
      </button>
      <ChartPanel
        {...shared((point) => point.pageViews, baseline?.pageViews ?? NOTHING)}
        title="Page views by minute"
        unit="Page views"
        colours={{ bar: '--views-bar', growing: '--views-growing' }}
        leastTop={4}
        hasTimeLabels={false}
        valueText={(value) => plural(value, 'page view', 'page views')}
        quietText="No page views in the last 60 minutes"
      />
      <ChartPanel
        {...shared((point) => point.errors, baseline?.errors ?? NOTHING)}
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
