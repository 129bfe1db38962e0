// Errors of the page that nothing has caught.

import type { Track } from './track';

/** Of one page. A loop that fails again and again would fill the queue with itself. */
const MAX_ERRORS = 20;
const MAX_MESSAGE = 500;

/** Counts errors from now on. */
export function watchErrors(track: Track): void {
  let errors = 0;
  const note = (error: unknown, message: string, at?: string): void => {
    if (++errors > MAX_ERRORS) return;
    const code = (error as Error | null)?.name || 'Error';
    track('error', { code, message: message.slice(0, MAX_MESSAGE), path: location.pathname, at });
  };
  addEventListener('error', ({ error, message, filename, lineno, colno }) => {
    // An image that was not found has no message, and is no error of the page.
    if (message) note(error, message, filename && `${filename.split('?')[0]}:${lineno}:${colno}`);
  });
  addEventListener('unhandledrejection', ({ reason }) => {
    note(reason, String((reason as Error | null)?.message ?? reason));
  });
}
