// Light or dark: what the system says, until somebody chooses on this screen.

import { recall, remember } from './storage';

export type ThemeChoice = 'system' | 'light' | 'dark';

const KEY = 'floodmark.theme';
const systemDark = matchMedia('(prefers-color-scheme: dark)');
const listeners = new Set<() => void>();

const tell = () => listeners.forEach((listener) => listener());

export function themeChoice(): ThemeChoice {
  const kept = recall(KEY);
  return kept === 'light' || kept === 'dark' ? kept : 'system';
}

/** What is on screen now. */
export function theme(): 'light' | 'dark' {
  const chosen = document.documentElement.dataset.theme;
  if (chosen === 'light' || chosen === 'dark') return chosen;
  return systemDark.matches ? 'dark' : 'light';
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
  systemDark.addEventListener('change', tell);
}

/** Charts are painted, not styled, so they have to hear of a change. Returns what ends it. */
export function onThemeChange(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
