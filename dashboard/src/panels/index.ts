// The panels of the page, in the order in which they stand.
//
// To add a panel
//
// 1. Write one file beside this one, `YourPanel.tsx`, which exports a `Panel` (panel.ts says what each
//    of its fields means):
//
//        const signupsQuestion = oneRequest<PointsByTime | null>({
//          path: 'timeseries',                          // GET /api/analytics/timeseries?metric=signups&hours=1
//          parameters: { metric: 'signups', hours: '1' },
//          everyMs: 10_000,                             // from the end of one request to the next
//          initially: null,                             // before the first answer
//          parse: parsePoints,                          // the answer's JSON into the panel's own type
//          whenUnknown: null,                           // 400 or 404; any other failure keeps the last answer
//        });
//
//        export const signups: Panel = {
//          id: 'signups',
//          place: 'notes',
//          shownIn: 'a shop with events',
//          metrics: ['signups'],                        // so that "More" leaves it out
//          asks: [signupsQuestion],
//          Content: Signups,
//        };
//
//        function Signups({ view }: PanelProps) {
//          const points = view.answerTo(signupsQuestion);
//          ...
//        }
//
//    What the stream says is in `view.state`; amounts and times are written by format.ts; charts/ has a
//    bar chart with its heading and a sparkline. A question that another panel asks already is imported
//    from there (metrics and alerts: questions/) and asked once for both. A question of several requests,
//    or one that depends on another's answer, is a `Question` of its own (Breakdowns.tsx, Hour.tsx).
//
//    The markup takes its classes from styles/: a panel under `notes` is a `section` of class "note".
//    A `data-testid` on what a test should find, and a window ("today") on every number.
//
// 2. Put it into the list below, among the panels of its place: an import and one line.

import { alertBanner } from './AlertBanner';
import { alertHistory } from './AlertHistory';
import { books } from './Books';
import { breakdowns } from './Breakdowns';
import { figures } from './Figures';
import { firstEvent } from './FirstEvent';
import { hour } from './Hour';
import { more } from './More';
import { pace } from './Pace';
import type { Page } from './panel';
import { revenue } from './Revenue';
import { timeMachine } from './TimeMachine';
import { today } from './Today';

export const frontPage: Page = [
  // top
  alertBanner,
  timeMachine,
  // board
  revenue,
  figures,
  firstEvent,
  today,
  hour,
  breakdowns,
  // notes
  pace,
  books,
  alertHistory,
  more,
];
