// Metrics that the configuration has and the page has no place for: name, value, unit.

import { currencyOf, type View } from '../live';
import { furtherMetrics, nameInWords, valueText, type Unit } from '../questions/metrics';

const unitWords = (unit: Unit, currency: string): string =>
  ({ count: 'counted', number: 'number', money: `in ${currency}`, ratio: 'share' })[unit];

export function More({ view }: { view: View }) {
  const { catalogue, metrics } = view.answers;
  const further = furtherMetrics(catalogue);
  if (further.length === 0) return null;
  return (
    <section class="note" aria-labelledby="more" data-testid="more">
      <h2 id="more">
        More <span class="window">today</span>
      </h2>
      <dl class="more">
        {further.map(({ name, unit }) => {
          const value = metrics[name] ?? null;
          return (
            <div key={name} data-testid={`metric-${name}`}>
              <dt>
                {nameInWords(name)} <span class="window">{unitWords(unit, currencyOf(view))}</span>
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
