// What all pages but the front page have: the place of their content, a heading that gets the focus when somebody
// comes from another page, and what stands there when there is nothing else to show.

import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';

/** A page was opened from another one, and its heading has not got the focus yet. */
let isFocusWanted = false;

export const wantFocus = (): void => {
  isFocusWanted = true;
};

interface HeadingProps {
  children: ComponentChildren;
  /** The heading of a page that is told by what stands on it is for screen readers. */
  isSilent?: boolean;
}

/** The heading of a page. Whoever came by keyboard or hears the page goes on from here. */
export function Heading({ children, isSilent = false }: HeadingProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    if (!isFocusWanted) return;
    isFocusWanted = false;
    heading.current?.focus({ preventScroll: true });
  });
  return (
    <h1 ref={heading} tabIndex={-1} class={isSilent ? 'sr-only' : 'page-title'}>
      {children}
    </h1>
  );
}

interface ShellProps {
  title: ComponentChildren;
  /** A sentence under the heading. */
  lead?: ComponentChildren;
  isBusy?: boolean;
  children?: ComponentChildren;
}

export function Shell({ title, lead, isBusy = false, children }: ShellProps) {
  return (
    <main class="page-main" aria-busy={isBusy}>
      <div class="page-head">
        <Heading>{title}</Heading>
        {lead && <p class="page-lead">{lead}</p>}
      </div>
      {children}
    </main>
  );
}

interface EmptyProps {
  title: string;
  children: ComponentChildren;
}

/** There is nothing to show: why, and what to do about it. */
export function Empty({ title, children }: EmptyProps) {
  return (
    <div class="empty" data-testid="nothing">
      <h2>{title}</h2>
      <div class="empty-words">{children}</div>
    </div>
  );
}

/** What is shown to whom the server does not show it. */
export function NotForYou({ title, what }: { title: string; what: string }) {
  return (
    <Shell title={title}>
      <Empty title="This is not for you to see">
        <p>
          {what} Ask who runs this dashboard, or go <a href="/">back to the numbers of now</a>.
        </p>
      </Empty>
    </Shell>
  );
}

interface WaitingProps {
  title: string;
  /** The page's code could not be loaded. */
  hasFailed: boolean;
  onAgain(): void;
}

/** A page whose code is on its way. */
export function Waiting({ title, hasFailed, onAgain }: WaitingProps) {
  // The heading that gets the focus is that of the page itself, unless it does not come.
  if (!hasFailed) return <main class="page-main" aria-busy="true" aria-label={title} />;
  return (
    <Shell title={title}>
      <Empty title="This page could not be loaded">
        <p>The server does not answer, or has been updated since this window was opened.</p>
        <p class="actions">
          <button type="button" onClick={onAgain}>
            Try again
          </button>
          <button type="button" onClick={() => location.reload()}>
            Load everything anew
          </button>
        </p>
      </Empty>
    </Shell>
  );
}
