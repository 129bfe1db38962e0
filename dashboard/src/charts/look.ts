// What a canvas can't take from the style sheet by itself: colours and type, read from the custom
// properties in force at the chart's place in the page.

/** Names of the custom properties that hold a chart's colours. */
export interface ChartColours {
  bar: string;
  growing: string;
}

export interface Look {
  bar: string;
  growing: string;
  mark: string;
  baseline: string;
  label: string;
  grid: string;
  font: string;
  /** CSS pixels of one rem: charts grow with the type on a wall screen. */
  rem: number;
}

export function readLook(element: HTMLElement, colours: ChartColours): Look {
  const style = getComputedStyle(element);
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  const read = (name: string) => style.getPropertyValue(name).trim();
  return {
    bar: read(colours.bar),
    growing: read(colours.growing),
    mark: read('--chart-mark'),
    baseline: read('--chart-baseline'),
    label: read('--chart-label'),
    grid: read('--chart-grid'),
    font: `500 ${Math.round(rem * 0.8125)}px ${style.fontFamily}`,
    rem,
  };
}
