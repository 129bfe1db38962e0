// The metrics of the configuration that no other panel of the page shows: name, value, unit.

import { currencyOf } from '../live';
import {
  catalogueQuestion,
  leftOutText,
  metricValuesQuestion,
  nameInWords,
  valueText,
  type Catalogue,
  type Metric,
  type Unit,
} from '../questions/metrics';
import { metricsOn, type Page, type Panel, type PanelProps } from './panel';

export const more: Panel = {
  id: 'more',
  place: 'notes',
  shownIn: 'a shop with events',
  asks: [catalogueQuestion, metricValuesQuestion],
  Content: More,
};

/** What the configuration has and no panel of the page names. */
export function furtherMetrics({ metrics }: Catalogue, page: Page): Metric[] {
  const placed = metricsOn(page);
  return metrics.filter(({ name }) => !placed.has(name));
}

const unitWords = (unit: Unit, currency: string): string =>
  ({ count: 'counted', number: 'number', money: `in ${currency}`, ratio: 'share' })[unit];

function More({ view, page }: PanelProps) {
  const { values, leftOut } = view.answerTo(metricValuesQuestion);
  const further = furtherMetrics(view.answerTo(catalogueQuestion), page);
  if (further.length === 0) return null;
  return (
    <section class="note" aria-labelledby="more" data-testid="more">
      <h2 id="more">
        More <span class="window">{view.dayWord}</span>
      </h2>
      <dl class="more">
        {further.map(({ name, unit }) => {
          const value = values[name] ?? null;
          return (
            <div key={name} data-testid={`metric-${name}`}>
              <dt>
                {nameInWords(name)}{' '}
                <span class="window">
                  {unitWords(unit, currencyOf(view))}
                  {leftOutText(leftOut[name])}
                </span>
              </dt>
              <dd data-testid="value" data-value={value ?? ''}>
                {value === null ? '–' : valueText(value, unit, currencyOf(view))}
              </dd>
            </div>
          );
        })}
      </dl>
    </section>
  );
}
