// Marks of a span, for charts of any time. Frames have those of the last day, so only older ones are asked for.

import { useMemo } from 'preact/hooks';
import { objects, type Json } from '../json';
import type { View } from '../live';
import { oneRequest, type Question } from './question';
import { useAnswer } from './use_answer';

const HOUR_MS = 3_600_000;
/** Within it, frames have all marks. */
const IN_FRAMES_MS = 24 * HOUR_MS;

/** The marks of a span, by whole hours, so that the question stays the same while time goes on. */
function marksQuestion(from: number, to: number): Question<readonly Json[]> {
  return oneRequest<readonly Json[]>({
    path: 'marks',
    parameters: { from: String(from), to: String(to), limit: '200' },
    everyMs: 30_000,
    initially: [],
    parse: (body) => objects(body),
    whenUnknown: [],
  });
}

/** The marks that a chart from `from` to `to` (Unix milliseconds) may show. */
export function useMarks(view: View, from: number, to: number): readonly Json[] {
  const recent = view.state?.marks ?? [];
  const [first, last] = [Math.floor(from / HOUR_MS) * HOUR_MS, Math.ceil(to / HOUR_MS) * HOUR_MS];
  const isOld = from > 0 && from < view.asOf - IN_FRAMES_MS;
  const question = useMemo(() => (isOld ? marksQuestion(first, last) : null), [isOld, first, last]);
  const older = useAnswer(view, question) ?? [];
  return useMemo(() => {
    const known = new Set(recent.map(({ id }) => id));
    return [...recent, ...older.filter(({ id }) => !known.has(id))];
  }, [recent, older]);
}
