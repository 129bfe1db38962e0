// Any metric or type of events over any span, by itself or against another day, with a table beside the chart,
// and the values of a property under it. All that is chosen stands in the address.

import { useMemo } from 'preact/hooks';
import { occasionsQuestion } from '../../questions/baseline';
import { catalogueQuestion } from '../../questions/metrics';
import { useAnswer } from '../../questions/use_answer';
import { isEmpty } from '../../stream/state';
import type { PageProps } from '../page';
import { Empty, Shell } from '../Shell';
import { Controls } from './Controls';
import { SeriesPart } from './SeriesPart';
import { readExploring } from './state';
import { ValuesPart } from './ValuesPart';

/** How exact the present has to be for the choice of an interval. */
const STEADY_MS = 60_000;

export function Explore({ view, visitor, address }: PageProps) {
  const { state } = view;
  const catalogue = view.peek(catalogueQuestion);
  const occasions = useAnswer(view, occasionsQuestion) ?? [];
  const steadyNow = Math.floor(view.asOf / STEADY_MS) * STEADY_MS;
  const exploring = useMemo(
    () => readExploring(address.query, catalogue, steadyNow),
    [address.query, catalogue, steadyNow],
  );
  if (!state || catalogue.metrics.length === 0) return <Shell title="Explore" isBusy />;
  return (
    <Shell title="Explore" lead="Any number over any span, and what it is made of.">
      <Controls {...{ view, exploring, catalogue, occasions }} />
      {isEmpty(state) && (
        <Empty title="No event has come in today">
          <p>
            Choose an earlier span, or send an event: <a href="/">the front page</a> has a line to paste.
          </p>
        </Empty>
      )}
      <SeriesPart {...{ view, visitor, exploring, occasions }} />
      <ValuesPart {...{ view, exploring, catalogue }} />
    </Shell>
  );
}
