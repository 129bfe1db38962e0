// Marks of a span, for charts of any time. Frames have the last ones of the last day, and those of the past have none,
// so only what no frame has is asked for.

import { useMemo } from 'preact/hooks';
import { number, objects, type Json } from '../json';
import type { View } from '../live';
import { oneRequest, type Question } from './question';
import { useAnswer } from './use_answer';

const HOUR_MS = 3_600_000;
/** Within it, frames have all marks, unless there are more than these. */
const IN_FRAMES_MS = 24 * HOUR_MS;
const IN_FRAMES = 30;

/** The question that was made last. Charts of one span share it, so that it is asked once. */
let latest: { from: number; to: number; question: Question<readonly Json[]> } | null = null;

/** The marks of a span, by whole hours, so that the question stays the same while time goes on. */
function marksQuestion(from: number, to: number): Question<readonly Json[]> {
  if (latest?.from === from && latest.to === to) return latest.question;
  const question = oneRequest<readonly Json[]>({
    path: 'marks',
    parameters: { from: String(from), to: String(to), limit: '200' },
    everyMs: 30_000,
    initially: [],
    parse: (body) => objects(body),
    whenUnknown: [],
  });
  latest = { from, to, question };
  return question;
}

/** One list for good, so that what is made of it is made once. */
const NONE: readonly Json[] = [];

/** Whether frames may lack marks of a span from `from` on (Unix milliseconds). */
export function framesLack({ state, past, asOf }: Pick<View, 'state' | 'past' | 'asOf'>, from: number): boolean {
  const recent = state?.marks ?? [];
  const known = recent.length < IN_FRAMES ? asOf - IN_FRAMES_MS : number(recent.at(-1)?.time);
  return from > 0 && (past !== null || from < known);
}

/** The marks that the charts of the last hour may show. */
export const useMarksOfHour = (view: View): readonly Json[] => useMarks(view, view.asOf - HOUR_MS, view.asOf);

/** The marks that a chart from `from` to `to` (Unix milliseconds) may show. */
export function useMarks(view: View, from: number, to: number): readonly Json[] {
  const recent = view.state?.marks ?? NONE;
  const [first, last] = [Math.floor(from / HOUR_MS) * HOUR_MS, Math.ceil(to / HOUR_MS) * HOUR_MS];
  const isAsked = framesLack(view, from);
  const question = useMemo(() => (isAsked ? marksQuestion(first, last) : null), [isAsked, first, last]);
  const older = useAnswer(view, question) ?? NONE;
  return useMemo(() => {
    const known = new Set(recent.map(({ id }) => id));
    return [...recent, ...older.filter(({ id }) => !known.has(id))];
  }, [recent, older]);
}
