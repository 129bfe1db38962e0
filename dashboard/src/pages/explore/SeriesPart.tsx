// The chart of what is explored, its sums, and beside it the same as a table, which can be taken away as CSV.

import { useMemo } from 'preact/hooks';
import { TitledChart } from '../../charts/TitledChart';
import type { Visitor } from '../../access/visitor';
import { changeText, count, countCompact, moneyCompact, percentShort } from '../../format';
import { currencyOf, type View } from '../../live';
import type { Occasion } from '../../questions/baseline';
import { useMarks } from '../../questions/marks';
import { nameInWords, valueText, type Unit } from '../../questions/metrics';
import { refusable, type Parameters } from '../../questions/question';
import { useAnswer } from '../../questions/use_answer';
import { Empty } from '../Shell';
import { ticksAt, tickLabel, whenText } from './axis';
import { CsvLink } from './CsvLink';
import { spanWords } from './span';
import { parseSeries, seriesParameters, sumsOf, type Bucketed, type Exploring } from './state';

/** Rows of the table that are shown; CSV has all. */
const ROWS_SHOWN = 400;

/** A finer chart is asked for more often. */
const paceOf = (bucketMs: number): number => (bucketMs <= 60_000 ? 5_000 : bucketMs < 3_600_000 ? 15_000 : 60_000);

interface SeriesPartProps {
  view: View;
  visitor: Visitor;
  exploring: Exploring;
  occasions: readonly Occasion[];
}

/** The question for a series; the same one as long as its parameters are. */
function useSeries(view: View, parameters: Parameters | null, everyMs: number) {
  const key = JSON.stringify(parameters);
  const question = useMemo(
    () => parameters && refusable({ path: 'timeseries', parameters, everyMs, parse: parseSeries }),
    [key, everyMs],
  );
  return useAnswer(view, question);
}

export function SeriesPart({ view, visitor, exploring, occasions }: SeriesPartProps) {
  const { of, span, interval, compare } = exploring;
  const { business } = view;
  // Days are the shop's, so they are called by its calendar.
  const zone = interval.ms >= 86_400_000 ? business : view.zone;
  const parameters = seriesParameters(exploring, view.state?.day ?? '');
  const series = useSeries(view, parameters, paceOf(interval.ms));
  const compared = compare === '' ? null : { ...parameters, baseline: compare };
  const other = useSeries(view, compared, paceOf(interval.ms));

  const drawn = series?.kind === 'known' ? series.value : [];
  const marks = useMarks(view, drawn[0]?.timestamp ?? 0, (drawn.at(-1)?.timestamp ?? 0) + interval.ms);

  const unit: Unit = 'metric' in of ? of.metric.unit : 'count';
  const name =
    'metric' in of ? (of.metric.name === 'active_users' ? 'Visitors' : nameInWords(of.metric.name)) : of.type;
  const currency = currencyOf(view);
  const text = (value: number) => valueText(value, unit, currency);

  if (series?.kind === 'refused') {
    return (
      <Empty title="The server does not draw this">
        <p>{sentence(series.message)}</p>
      </Empty>
    );
  }
  const rows = series?.kind === 'known' ? series.value : null;
  if (rows === null) return <section class="explored" aria-busy="true" />;
  const otherName = occasions.find((it) => it.name === compare)?.words ?? COMPARED[compare] ?? compare;
  const found = other?.kind === 'known' ? alongside(rows, other.value) : null;
  const baseline = found?.some((value) => value !== null) ? found : null;
  const spanMs = (rows.at(-1)?.timestamp ?? 0) - (rows[0]?.timestamp ?? 0) + interval.ms;
  const when = (time: number) => whenText(time, interval.ms, spanMs, zone);
  const ends = rows.length > 0 ? `${when(rows[0]!.timestamp)} to ${when(rows.at(-1)!.timestamp)}` : '';
  const window = spanWords(span, ends);
  const addsUp = unit === 'money' || (unit === 'count' && !('metric' in of && of.metric.byDayOnly));
  return (
    <section class="explored" data-testid="explored" aria-label={`${name}, ${window}`}>
      <div class="explored-chart">
        {addsUp && <Sums {...{ rows, baseline, text, otherName, window }} />}
        {found && !baseline && <p class="soft">Nothing is known of {otherName}.</p>}
        {other?.kind === 'refused' && <p class="notice">{sentence(other.message)}</p>}
        <TitledChart
          title={`${name} by ${interval.words}`}
          window={window}
          unit={name}
          times={rows.map(({ timestamp }) => timestamp)}
          values={rows.map(({ value }) => value)}
          isOver={rows.at(-1)?.inProgress !== true}
          {...(baseline && { baseline, baselineName: otherName })}
          marks={marks}
          bucketMs={interval.ms}
          colours={coloursOf(unit, name)}
          leastTop={unit === 'ratio' ? 0.01 : 2}
          hasTimeLabels
          yLabel={(value) => axisText(value, unit, currency)}
          xTicks={(from, to, rems) =>
            ticksAt(
              rows.map(({ timestamp }) => timestamp),
              from,
              to,
              rems,
              zone,
            )
          }
          xLabel={(tick) => tickLabel(Math.round(tick * 1000), interval.ms, zone)}
          labelsKey={`${interval.name} ${zone} ${unit} ${name}`}
          timeText={(time) => (interval.ms >= 86_400_000 ? `on ${when(time)}` : `at ${when(time)}`)}
          valueText={text}
          quietText="Nothing in this span"
        />
      </div>
      <Table {...{ rows, baseline, text, when, name, otherName, timeName: interval.words }} />
      <p class="actions explored-csv">
        <CsvLink visitor={visitor} parameters={parameters}>
          CSV
        </CsvLink>
        {compared && (
          <CsvLink visitor={visitor} parameters={compared}>
            CSV of {otherName}
          </CsvLink>
        )}
      </p>
    </section>
  );
}

/** What a day of the server's is called in a sentence. */
const COMPARED: Readonly<Record<string, string>> = {
  yesterday: 'the day before',
  last_week: 'the week before',
  last_year: 'the year before',
};

const sentence = (message: string): string => `${message.charAt(0).toUpperCase()}${message.slice(1)}.`;

/** The values of the other day at the same buckets. */
function alongside(rows: readonly Bucketed[], other: readonly Bucketed[]): (number | null)[] {
  const values = new Map(other.map(({ timestamp, value }) => [timestamp, value]));
  return rows.map(({ timestamp }) => values.get(timestamp) ?? null);
}

const axisText = (value: number, unit: Unit, currency: string): string =>
  unit === 'money' ? moneyCompact(value, currency) : unit === 'ratio' ? percentShort(value) : countCompact(value);

/** Money and errors have a colour of their own everywhere. */
function coloursOf(unit: Unit, name: string) {
  const tone = unit === 'money' ? '--money-bar' : /error/i.test(name) ? '--error-bar' : '--views-bar';
  return { bar: tone, growing: tone.replace('-bar', '-growing') };
}

interface SumsProps {
  rows: readonly Bucketed[];
  baseline: readonly (number | null)[] | null;
  text(value: number): string;
  otherName: string;
  window: string;
}

function Sums({ rows, baseline, text, otherName, window }: SumsProps) {
  const { all, same, other } = sumsOf(rows, baseline);
  return (
    <dl class="sums">
      <div>
        <dt>{window}</dt>
        <dd data-testid="sum" data-value={all}>
          {text(all)}
        </dd>
      </div>
      {other !== null && (
        <div>
          <dt>{otherName}</dt>
          <dd data-testid="sum-other" data-value={other}>
            {text(other)} {other > 0 && <span class="soft">({changeText(same / other - 1)})</span>}
          </dd>
        </div>
      )}
    </dl>
  );
}

interface TableProps {
  rows: readonly Bucketed[];
  baseline: readonly (number | null)[] | null;
  text(value: number): string;
  when(time: number): string;
  name: string;
  otherName: string;
  timeName: string;
}

/** The newest first, since that is what is looked for. */
function Table({ rows, baseline, text, when, name, otherName, timeName }: TableProps) {
  const shown = rows.length - Math.max(0, rows.length - ROWS_SHOWN);
  const cell = (value: number | null | undefined) => (value === null || value === undefined ? '–' : text(value));
  // The page is drawn several times a second, and a table of hundreds of rows changes with an answer only.
  return useMemo(
    () => (
      <div class="table-box" role="region" aria-label={`${name} as a table`} tabIndex={0}>
        <table class="data">
          <thead>
            <tr>
              <th scope="col">{timeName === 'day' ? 'Day' : 'From'}</th>
              <th scope="col">{name}</th>
              {baseline && <th scope="col">{otherName}</th>}
            </tr>
          </thead>
          <tbody>
            {rows
              .map((row, index) => ({ ...row, other: baseline?.[index] }))
              .reverse()
              .slice(0, shown)
              .map(({ timestamp, value, inProgress, approximate, other }) => (
                <tr key={timestamp} data-time={timestamp}>
                  <th scope="row">
                    {when(timestamp)}
                    {inProgress && <span class="soft"> so far</span>}
                  </th>
                  <td data-value={value ?? ''}>
                    {approximate && '≈ '}
                    {cell(value)}
                  </td>
                  {baseline && <td>{cell(other)}</td>}
                </tr>
              ))}
          </tbody>
        </table>
        {shown < rows.length && (
          <p class="soft table-more">{count(rows.length - shown)} earlier ones are in the CSV.</p>
        )}
      </div>
    ),
    [rows, baseline?.join(), name, otherName, when(rows[0]?.timestamp ?? 0)],
  );
}
