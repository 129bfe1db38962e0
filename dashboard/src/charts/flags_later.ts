// Most pages have no marks, so what draws them is loaded with the first one.

import type { Json } from '../json';
import { later } from '../later';

const flags = later(() => import('./flags'));

/** What draws marks, null until it is there; the page is drawn again within a second. Without a mark nothing is loaded. */
export const flagsFor = (marks: readonly Json[]) => (marks.length > 0 ? flags() : null);
