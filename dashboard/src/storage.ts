// localStorage, which a browser may refuse altogether (private windows, policies). What is kept
// here is a convenience, so a refusal is no error.

export function recall(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

export function remember(key: string, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch {
    // Not kept; the page works all the same.
  }
}
