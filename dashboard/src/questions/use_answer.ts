// A question that a part of a page asks while it is shown, beside those that panels list.

import { useEffect } from 'preact/hooks';
import type { View } from '../live';
import type { Question } from './question';

/**
 * What is known of the question, which is asked from now on and until this part of the page is gone. Between two
 * drawings it has to be the same object, or it would be asked anew each time (`useMemo`). Null asks nothing.
 */
export function useAnswer<A>(view: View, question: Question<A> | null): A | null {
  const { hold } = view;
  useEffect(() => (question ? hold(question) : undefined), [question]);
  return question && view.peek(question);
}
