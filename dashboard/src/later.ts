// Code that is loaded when it is first needed, for what the first page can do without.

/** After a failure, how long until it is tried again. */
const AGAIN_MS = 3_000;

/** What `load` brings once it is there, and null until then. It is loaded at the first call. */
export function later<T>(load: () => Promise<T>): () => T | null {
  let there: T | null = null;
  let isAsked = false;
  return () => {
    if (isAsked) return there;
    isAsked = true;
    load().then(
      (loaded) => (there = loaded),
      () => setTimeout(() => (isAsked = false), AGAIN_MS),
    );
    return null;
  };
}
