// Light or dark: the page follows the system until somebody chooses on this screen.

import { recall, remember } from './storage';

export type ThemeChoice = 'system' | 'light' | 'dark';

const KEY = 'floodmark.theme';
const listeners = new Set<() => void>();

const tell = () => listeners.forEach((listener) => listener());

export function themeChoice(): ThemeChoice {
  const kept = recall(KEY);
  return kept === 'light' || kept === 'dark' ? kept : 'system';
}

function show(choice: ThemeChoice): void {
  // Without the attribute the style sheet follows the system by itself.
  if (choice === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = choice;
}

export function chooseTheme(choice: ThemeChoice): void {
  remember(KEY, choice === 'system' ? null : choice);
  show(choice);
  tell();
}

export function startTheme(): void {
  show(themeChoice());
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', tell);
}

/** Calls `listener` at every change, since charts are painted and not styled. Returns what ends it. */
export function onThemeChange(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
