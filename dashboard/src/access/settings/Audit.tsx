// The audit: what was changed about those who may send and look, by whom and when, the newest first.

import { useEffect, useRef, useState } from 'preact/hooks';
import { refusalWords } from '../call';
import type { Visitor } from '../visitor';
import { changeWords, readAuditLine, type AuditLine } from './changes';

/** How many lines are read at once. */
const PAGE_LINES = 25;

interface AuditProps {
  visitor: Visitor;
  /** Another number whenever something was changed here, so that the audit is read again. */
  changes: number;
}

export function Audit({ visitor, changes }: AuditProps) {
  const [lines, setLines] = useState<AuditLine[] | null>(null);
  const [hasEarlier, setHasEarlier] = useState(false);
  const [trouble, setTrouble] = useState<string | null>(null);
  // The line at which reading goes on after a press of the button.
  const [pageBegins, setPageBegins] = useState<number | null>(null);
  const question = useRef(0);

  /** Reads the page below `before`, or the newest one; one line more says whether there is another page. */
  const read = async (before?: number) => {
    question.current += 1;
    const asked = question.current;
    const below = before === undefined ? '' : `&before=${before}`;
    const reply = await visitor.call(`/api/access/audit?limit=${PAGE_LINES + 1}${below}`);
    // An answer to an earlier question says less than the one that is on its way.
    if (asked !== question.current) return;
    setTrouble(reply.status === 200 ? null : refusalWords(reply));
    if (reply.status !== 200) return;
    const page = reply.rows.slice(0, PAGE_LINES).map(readAuditLine);
    setHasEarlier(reply.rows.length > PAGE_LINES);
    setLines((known) => (before === undefined ? page : [...(known ?? []), ...page]));
    setPageBegins(before === undefined ? null : (page[0]?.version ?? null));
  };
  useEffect(() => void read(), [changes]);

  const last = lines?.at(-1);
  return (
    <section class="identities" aria-labelledby="audit-title" aria-busy={lines === null && trouble === null}>
      <h2 id="audit-title">Changes</h2>
      <p class="hint">Who changed what, here or by the command line, the newest first. Lines are only added.</p>
      {trouble && (
        <p class="form-error" role="alert">
          {trouble}
        </p>
      )}
      {lines?.length === 0 && <p class="none">None yet.</p>}
      {lines && lines.length > 0 && (
        <ol class="audit">
          {lines.map((line) => (
            <Line key={line.version} line={line} isNext={line.version === pageBegins} />
          ))}
        </ol>
      )}
      {hasEarlier && last && (
        <button type="button" class="earlier" onClick={() => void read(last.version)}>
          Show earlier changes
        </button>
      )}
    </section>
  );
}

const MOMENT_FORMAT = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'short' });

/** `isNext`: it gets the focus, which the button that was pressed may have taken away with it. */
function Line({ line, isNext }: { line: AuditLine; isNext: boolean }) {
  const box = useRef<HTMLLIElement>(null);
  useEffect(() => {
    if (isNext) box.current?.focus();
  }, [isNext]);
  const { before, after, more } = changeWords(line);
  return (
    <li class="audit-line" ref={box} tabIndex={-1}>
      <time dateTime={new Date(line.at).toISOString()}>{MOMENT_FORMAT.format(line.at)}</time>
      <div>
        <p>
          {line.actor} {before} <strong>{line.name}</strong> {after}
        </p>
        {more.length > 0 && <p class="hint">{more.join(' · ')}</p>}
      </div>
    </li>
  );
}
