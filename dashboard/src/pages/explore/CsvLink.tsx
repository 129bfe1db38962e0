// A link to the numbers as a file. A browser that follows it sends its session along, and no viewer token: where
// this browser has one, the page fetches the file with it.

import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import type { Visitor } from '../../access/visitor';
import type { Parameters } from '../../questions/question';

interface CsvLinkProps {
  visitor: Visitor;
  /** Of the time series. */
  parameters: Parameters;
  children: ComponentChildren;
}

export function CsvLink({ visitor, parameters, children }: CsvLinkProps) {
  const [hasFailed, setFailed] = useState(false);
  const href = `/api/analytics/timeseries?${new URLSearchParams({ ...parameters, format: 'csv' })}`;
  const name = `floodmark-${parameters.metric ?? parameters.type ?? 'numbers'}.csv`;
  const fetchFile = async (token: string) => {
    const response = await fetch(href, { headers: { Authorization: `Bearer ${token}` } }).catch(() => null);
    setFailed(!response?.ok);
    if (!response?.ok) return;
    const url = URL.createObjectURL(await response.blob());
    const link = Object.assign(document.createElement('a'), { href: url, download: name });
    link.click();
    URL.revokeObjectURL(url);
  };
  return (
    <>
      <a
        class="button"
        href={href}
        download={name}
        onClick={(event) => {
          if (!visitor.token) return;
          event.preventDefault();
          void fetchFile(visitor.token);
        }}
      >
        {children}
      </a>
      {hasFailed && <span role="alert">The file could not be loaded.</span>}
    </>
  );
}
