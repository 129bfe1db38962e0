// The time machine: a scrubber over the day (time_machine/Scrubber.tsx). It is loaded after the numbers, which
// nobody should wait for on its account.

import { later } from '../later';
import { loadStyle } from '../pages/page';
import { alertsQuestion } from '../questions/alerts';
import { catalogueQuestion } from '../questions/metrics';
import type { Panel, PanelProps } from './panel';

export const timeMachine: Panel = {
  id: 'time-machine',
  place: 'top',
  shownIn: 'a shop with events',
  asks: [alertsQuestion, catalogueQuestion],
  Content: TimeMachine,
};

const scrubber = later(() => loadStyle().then(() => import('./time_machine/Scrubber')));

function TimeMachine({ view, page }: PanelProps) {
  // The page is drawn several times a second, so what has come is there at once.
  const loaded = view.state || view.past ? scrubber() : null;
  return loaded ? <loaded.Scrubber view={view} page={page} /> : <div class="time" />;
}
