// How targets are doing (pace/Targets.tsx), which is loaded where the configuration has some.

import { later } from '../later';
import { loadStyle } from '../pages/page';
import { oneRequest } from '../questions/question';
import type { Panel, PanelProps } from './panel';

/** What GET /api/analytics/pace says, as it came; empty where there are no targets. */
const paceQuestion = oneRequest<readonly unknown[]>({
  path: 'pace',
  everyMs: 15_000,
  initially: [],
  parse: (body) => (Array.isArray(body) ? body : []),
  whenUnknown: [],
});

export const pace: Panel = {
  id: 'pace',
  place: 'notes',
  shownIn: 'a shop with events',
  isOfNow: true,
  asks: [paceQuestion],
  Content: Pace,
};

const targets = later(() => loadStyle().then(() => import('./pace/Targets')));

function Pace({ view }: PanelProps) {
  const body = view.answerTo(paceQuestion);
  const loaded = body.length > 0 ? targets() : null;
  return loaded && <loaded.Targets view={view} body={body} />;
}
