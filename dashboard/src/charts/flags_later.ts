// Most pages have no marks, so what draws them is loaded with the first one.

import type { Json } from '../json';

let flags: typeof import('./flags') | null = null;

/** What draws marks; null until it is there. The page is drawn again within a second, and asks again. */
export function flagsFor(marks: readonly Json[]): typeof flags {
  if (!flags && marks.length > 0)
    import('./flags').then(
      (loaded) => (flags = loaded),
      () => {},
    );
  return flags;
}
