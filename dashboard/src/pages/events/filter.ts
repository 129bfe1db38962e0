// Which events are shown, as the address says it and as the server is asked.

import type { Parameters } from '../../questions/question';

/** Parameters of the address that choose among events, as the server calls them. */
const PLAIN = ['type', 'text', 'from', 'to'] as const;
const WHERE = 'where.';

export interface EventFilter {
  type: string;
  text: string;
  /** The first of what stands in the address: `gateway=adyen`; empty for none. */
  where: readonly { property: string; test: string }[];
  from: string | null;
  to: string | null;
}

export function readFilter(query: URLSearchParams): EventFilter {
  const where = [...query].filter(([name]) => name.startsWith(WHERE) && name.length > WHERE.length);
  return {
    type: query.get('type') ?? '',
    text: query.get('text') ?? '',
    where: where.map(([name, test]) => ({ property: name.slice(WHERE.length), test })),
    from: query.get('from'),
    to: query.get('to'),
  };
}

export function filterParameters(query: URLSearchParams): Parameters {
  const chosen = [...query].filter(
    ([name, value]) => value !== '' && (PLAIN.some((plain) => plain === name) || name.startsWith(WHERE)),
  );
  return Object.fromEntries(chosen);
}

/** A feed follows what comes; with an end it is a list of what was. */
export const isLive = ({ to }: EventFilter): boolean => to === null;

/** `gateway=adyen`, `amount>=100`, `coupon!=X1` as property and test; null for what is none of these. */
export function readTest(text: string): { property: string; test: string } | null {
  const match = /^\s*([^=<>!\s]+)\s*(!=|>=|<=|=|>|<)\s*(.*?)\s*$/.exec(text);
  if (!match) return null;
  const [, property = '', operator = '', value = ''] = match;
  if (value === '') return null;
  const sign = operator === '=' ? '' : operator === '!=' ? '!' : operator;
  return { property, test: `${sign}${value}` };
}

/** The same in words: "gateway is adyen". */
export function testInWords({ property, test }: { property: string; test: string }): string {
  const match = /^(!|>=|<=|>|<)(.*)$/.exec(test);
  if (!match) return `${property} = ${test}`;
  return `${property} ${match[1] === '!' ? '≠' : match[1]} ${match[2]}`;
}
