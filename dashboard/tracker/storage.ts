// localStorage, which a browser may refuse altogether (sandboxed pages, private windows, policies), or
// which may be full. The tracker then does without it, and what it has lives as long as the page.

import { settings } from './settings';

/** Undefined where there is none, or where the page does not want anything to be kept (`data-storage="off"`). */
export let storage: Storage | undefined;

try {
  if (settings.storage !== 'off') storage = localStorage;
} catch {
  // The mere look at it throws where it is forbidden.
}

export function keep(name: string, value: string): void {
  try {
    storage?.setItem(name, value);
  } catch {
    // It is full.
  }
}
