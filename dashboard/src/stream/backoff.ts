// How long to wait before a connection is tried again.

const BASE_MS = 250;
const LIMIT_MS = 5_000;

/**
 * Doubles from a quarter of a second up to 5 s; half of it is chance, so that the viewers of a
 * server that restarted don't all come back in the same instant.
 *
 * @param attempt 1 for the first try after a connection was lost
 * @param random in [0, 1)
 */
export function backoffMs(attempt: number, random: number): number {
  const ceiling = Math.min(LIMIT_MS, BASE_MS * 2 ** Math.min(attempt - 1, 16));
  return Math.round(ceiling * (0.5 + random / 2));
}
