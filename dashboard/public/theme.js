// Runs before the first paint: a page in a chosen theme must not flash in the other one. src/theme.ts does
// the rest.
try {
  const chosen = localStorage.getItem('floodmark.theme');
  if (chosen === 'light' || chosen === 'dark') document.documentElement.dataset.theme = chosen;
} catch {
  // Without storage nothing was chosen.
}
