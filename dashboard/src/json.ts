// JSON of the server, read with care: unknown fields are ignored, and what is missing or of another
// type gets a plain default. The page may be older or newer than the server.

export type Json = Record<string, unknown>;

export const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export const number = (value: unknown, fallback = 0): number => numberOrNull(value) ?? fallback;

export const numberOrNull = (value: unknown): number | null =>
  typeof value === 'number' && Number.isFinite(value) ? value : null;

/** An empty string counts as a missing one. */
export const string = (value: unknown, fallback: string): string =>
  typeof value === 'string' && value !== '' ? value : fallback;

/** The objects of an array; an empty list where the value is no array. */
export const objects = (value: unknown): Json[] => (Array.isArray(value) ? value.filter(isObject) : []);

/** The strings of an array; an empty list where the value is no array. */
export const strings = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((entry) => typeof entry === 'string') : [];
