// The values of a property in the span that is explored, the most frequent first; of a metric that the breakdown
// sums, those that add most to it.

import { useMemo } from 'preact/hooks';
import { percentShort } from '../../format';
import { currencyOf, type View } from '../../live';
import { breakdownTitle, valueInWords } from '../../questions/breakdowns';
import { nameInWords, valueText, type Catalogue } from '../../questions/metrics';
import { refusable } from '../../questions/question';
import { useAnswer } from '../../questions/use_answer';
import { Empty } from '../Shell';
import { spanWords } from './span';
import { breakdownParameters, parseValues, type Exploring, type ValueRow } from './state';

interface ValuesPartProps {
  view: View;
  exploring: Exploring;
  catalogue: Catalogue;
}

export function ValuesPart({ view, exploring, catalogue }: ValuesPartProps) {
  const { of, by, span } = exploring;
  const breakdown = catalogue.breakdowns.find(({ type, property }) => `${type}/${property}` === by);
  const metric = 'metric' in of && breakdown?.sums.includes(of.metric.name) ? of.metric : null;
  const parameters = breakdownParameters(exploring, view.state?.day ?? '', metric?.name ?? null);
  const key = JSON.stringify(parameters);
  const question = useMemo(
    () => parameters && refusable({ path: 'breakdown', parameters, everyMs: 15_000, parse: parseValues }),
    [key],
  );
  const values = useAnswer(view, question);
  if (!values || values.kind === 'waiting') return null;
  if (values.kind === 'refused') {
    return (
      <Empty title="These values are not known">
        <p>{values.message}.</p>
      </Empty>
    );
  }
  const { rows, total } = values.value;
  const title = `${breakdown ? breakdownTitle(breakdown) : by}${metric ? `, ${nameInWords(metric.name).toLowerCase()}` : ''}`;
  const text = (amount: number) => valueText(amount, metric?.unit ?? 'count', currencyOf(view));
  const most = Math.max(...rows.map(({ amount }) => amount), 1e-9);
  return (
    <section class="part" aria-labelledby="values" data-testid="values">
      <h2 id="values">
        {title} <span class="window">{spanWords(span, 'in this span')}</span>
      </h2>
      {rows.length === 0 ? (
        <p class="soft">No such event in this span.</p>
      ) : (
        <div class="group values-table" data-type={breakdown?.type}>
          <div class="breakdown">
            <table aria-labelledby="values">
              <colgroup>
                <col />
                <col class="share-column" />
                <col class="amount-column" />
              </colgroup>
              <thead class="sr-only">
                <tr>
                  <th scope="col">Value</th>
                  <th scope="col">Share</th>
                  <th scope="col">{metric ? nameInWords(metric.name) : 'Events'}</th>
                </tr>
              </thead>
              <tbody>
                {rows.map((row) => (
                  <Row key={`${row.isNone} ${row.value}`} {...{ row, total, most }} text={text(row.amount)} />
                ))}
              </tbody>
            </table>
          </div>
        </div>
      )}
    </section>
  );
}

function Row({ row, total, most, text }: { row: ValueRow; total: number; most: number; text: string }) {
  const { value, amount, isNone } = row;
  const { text: name, isNamed } = isNone ? { text: 'no value', isNamed: false } : valueInWords(value);
  return (
    <tr data-value={value} data-amount={amount}>
      <th scope="row" title={value}>
        <span class="bar" style={`--length:${amount / most}`} aria-hidden="true" />
        <span class="bar-name" data-named={isNamed}>
          <bdi>{name}</bdi>
        </span>
      </th>
      <td class="share">{total > 0 ? percentShort(amount / total) : ''}</td>
      <td class="counted">{text}</td>
    </tr>
  );
}
