// What is known of the properties of events by type and source, as the server learns it.

import { isObject, number, numberOrNull, objects, string } from '../../json';
import { refusable } from '../../questions/question';

export interface Property {
  name: string;
  /** The part of the events that have it, 0 to 1; null where that is not known. */
  share: number | null;
  /** Its JSON types, the most frequent first. */
  types: readonly string[];
  firstSeen: number | null;
  lastSeen: number | null;
  trend: readonly (number | null)[];
}

export interface Schema {
  type: string;
  source: string;
  events: number;
  firstSeen: number | null;
  lastSeen: number | null;
  /** Events by hour. */
  trend: readonly number[];
  properties: readonly Property[];
}

export interface Schemas {
  from: number;
  to: number;
  schemas: readonly Schema[];
}

export function parseSchemas(body: unknown): Schemas {
  if (!isObject(body)) return { from: 0, to: 0, schemas: [] };
  const schemas = objects(body.schemas).map((entry) => ({
    type: string(entry.type, ''),
    source: string(entry.source, ''),
    events: number(entry.events),
    firstSeen: numberOrNull(entry.firstSeen),
    lastSeen: numberOrNull(entry.lastSeen),
    trend: (Array.isArray(entry.trend) ? entry.trend : []).map((value) => number(value)),
    properties: objects(entry.properties).map((property) => ({
      name: string(property.property, ''),
      share: numberOrNull(property.share),
      types: isObject(property.types)
        ? Object.entries(property.types)
            .sort(([, a], [, b]) => number(b) - number(a))
            .map(([type]) => type)
        : [],
      firstSeen: numberOrNull(property.firstSeen),
      lastSeen: numberOrNull(property.lastSeen),
      trend: (Array.isArray(property.trend) ? property.trend : []).map(numberOrNull),
    })),
  }));
  return { from: number(body.from), to: number(body.to), schemas };
}

/** The last day. */
export const schemasQuestion = refusable<Schemas>({
  path: 'schema',
  parameters: {},
  everyMs: 10_000,
  parse: (body) => parseSchemas(body),
});

export interface SourceOf {
  name: string;
  events: number;
  lastSeen: number | null;
  trend: readonly number[];
  schemas: readonly Schema[];
}

/** By source, the one with most events first; its types likewise. */
export function bySource(schemas: readonly Schema[]): readonly SourceOf[] {
  const names = [...new Set(schemas.map(({ source }) => source))];
  return names
    .map((name) => {
      const own = schemas.filter(({ source }) => source === name).sort((a, b) => b.events - a.events);
      const length = Math.max(0, ...own.map(({ trend }) => trend.length));
      const seen = own.map(({ lastSeen }) => lastSeen).filter((time) => time !== null);
      return {
        name,
        events: own.reduce((sum, { events }) => sum + events, 0),
        lastSeen: seen.length > 0 ? Math.max(...seen) : null,
        trend: Array.from({ length }, (_, at) => own.reduce((sum, { trend }) => sum + (trend[at] ?? 0), 0)),
        schemas: own,
      };
    })
    .sort((a, b) => b.events - a.events);
}

export interface Shift {
  type: string;
  source: string;
  property: string;
  /** "new", or how often it was there before and is now. */
  kind: 'new' | 'rarer' | 'gone';
  was: number;
  now: number;
}

/** A property that is in so many more of the events than now has become rare. */
const NOTABLE = 0.3;
/** A type with fewer events says nothing by what it lacks. */
const LEAST_EVENTS = 50;

/**
 * What has changed within the span: properties that were not there before it, and those that far fewer events have
 * in its last stretch than in the ones before.
 */
export function shiftsOf({ from, schemas }: Schemas): readonly Shift[] {
  return schemas
    .filter(({ events, firstSeen }) => events >= LEAST_EVENTS && firstSeen !== null && firstSeen < from)
    .flatMap(({ type, source, properties }) =>
      properties.flatMap((property): Shift[] => {
        const known = property.trend.filter((share) => share !== null);
        const now = known.at(-1) ?? 0;
        const about = { type, source, property: property.name, now };
        if (property.firstSeen !== null && property.firstSeen >= from) return [{ ...about, kind: 'new', was: 0 }];
        const earlier = known.slice(0, -1);
        if (earlier.length === 0) return [];
        const was = earlier.reduce((sum, share) => sum + share, 0) / earlier.length;
        if (was - now < NOTABLE) return [];
        return [{ ...about, kind: now === 0 ? 'gone' : 'rarer', was }];
      }),
    );
}
