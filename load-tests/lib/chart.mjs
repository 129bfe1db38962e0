// Charts of the report: plain SVG, drawn once, in the colours of the page's style sheet.

const WIDTH = 1000;
const LEFT = 62;
const RIGHT = 14;
const TOP = 10;
const BOTTOM = 24;

export const escape = (text) =>
  String(text).replace(
    /[&<>"]/g,
    (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c],
  );

/** 1,234 · 12.3k · 4.5M: short, for an axis. */
export function short(value) {
  const size = Math.abs(value);
  const cut = (x) => String(Number(x.toPrecision(3)));
  if (size >= 1e6) return `${cut(value / 1e6)}M`;
  if (size >= 1e3) return `${cut(value / 1e3)}k`;
  return cut(value);
}

function niceStep(span, count) {
  const raw = span / count;
  const unit = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 2.5, 5, 10].map((n) => n * unit).find((step) => step >= raw);
}

function scale({ log, max, min = 0 }, height) {
  const bottom = height - BOTTOM;
  const inner = bottom - TOP;
  if (log) {
    const [lo, hi] = [Math.floor(Math.log10(min)), Math.ceil(Math.log10(max))];
    const y = (v) => bottom - ((Math.log10(Math.max(v, 10 ** lo)) - lo) / (hi - lo)) * inner;
    const ticks = Array.from({ length: hi - lo + 1 }, (_, i) => 10 ** (lo + i));
    return { y, ticks };
  }
  const step = niceStep(max || 1, 4);
  const hi = Math.ceil((max || 1) / step - 1e-9) * step;
  const ticks = [];
  for (let v = 0; v <= hi + step / 2; v += step) ticks.push(v);
  return { y: (v) => bottom - (v / hi) * inner, ticks };
}

function path(points) {
  let d = '';
  let pen = false;
  for (const [x, y] of points) {
    if (y === null || Number.isNaN(y)) {
      pen = false;
      continue;
    }
    d += `${pen ? 'L' : 'M'}${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = true;
  }
  return d;
}

/**
 * One chart over time, as an HTML figure.
 *
 * @param {object} c
 *   title, note: what it shows, in words · unit: of the values, for the hover line ·
 *   seconds: length of the time axis · ticks: [{s, label}] of the time axis ·
 *   series: [{name, colour (1 to 4), values (one a second, null for none), kind: line | area}] ·
 *   stacked: areas on top of each other · log, max, min · limit: {value, label} ·
 *   bands: [{from, to, label, kind}] and marks: [{s, label}], in seconds · height
 */
export function chart(c) {
  const height = c.height ?? 190;
  const bottom = height - BOTTOM;
  const x = (s) => LEFT + (s / Math.max(c.seconds, 1)) * (WIDTH - LEFT - RIGHT);
  const all = c.series.flatMap(({ values }) => values.filter((v) => v !== null));
  let top = Math.max(c.max ?? 0, ...(c.stacked ? [0] : all), c.limit?.value ?? 0);
  if (c.stacked) {
    for (let s = 0; s <= c.seconds; s++) {
      top = Math.max(
        top,
        c.series.reduce((sum, { values }) => sum + (values[s] ?? 0), 0),
      );
    }
  }
  const { y, ticks } = scale({ log: c.log, max: top, min: c.min }, height);

  const parts = [];
  for (const { from, to, label, kind } of c.bands ?? []) {
    const [a, b] = [x(from), x(to)];
    parts.push(
      `<rect class="band ${kind}" x="${a.toFixed(1)}" y="${TOP}" width="${Math.max(b - a, 1).toFixed(1)}" height="${bottom - TOP}"/>`,
    );
    if (label)
      parts.push(
        `<text class="band-label" x="${(a + 4).toFixed(1)}" y="${TOP + 11}">${escape(label)}</text>`,
      );
  }
  for (const tick of ticks) {
    const at = y(tick).toFixed(1);
    parts.push(`<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${at}" y2="${at}"/>`);
    parts.push(
      `<text class="tick" x="${LEFT - 8}" y="${at}" dy="0.32em" text-anchor="end">${short(tick)}</text>`,
    );
  }
  for (const { s, label } of c.ticks) {
    parts.push(
      `<text class="tick" x="${x(s).toFixed(1)}" y="${height - 6}" text-anchor="middle">${escape(label)}</text>`,
    );
  }
  const below = new Array(c.seconds + 1).fill(0);
  for (const { colour, values, kind } of c.series) {
    if (c.stacked) {
      const upper = below.map((base, s) => base + (values[s] ?? 0));
      const forth = upper.map((v, s) => [x(s), y(v)]);
      const back = below.map((v, s) => [x(s), y(v)]).reverse();
      parts.push(`<path class="stack c${colour}" d="${path([...forth, ...back])}Z"/>`);
      upper.forEach((v, s) => (below[s] = v));
      continue;
    }
    const points = values.map((v, s) => [x(s), v === null ? null : y(v)]);
    if (kind === 'area') {
      const known = points.filter(([, v]) => v !== null);
      if (known.length > 1) {
        const floor = `L${known.at(-1)[0].toFixed(1)} ${bottom}L${known[0][0].toFixed(1)} ${bottom}Z`;
        parts.push(`<path class="area c${colour}" d="${path(known)}${floor}"/>`);
      }
    }
    parts.push(`<path class="line c${colour}" d="${path(points)}"/>`);
  }
  if (c.limit) {
    const at = y(c.limit.value).toFixed(1);
    parts.push(`<line class="limit" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${at}" y2="${at}"/>`);
    parts.push(
      `<text class="limit-label" x="${WIDTH - RIGHT - 4}" y="${Number(at) - 5}" text-anchor="end">${escape(c.limit.label)}</text>`,
    );
  }
  for (const { s, label } of c.marks ?? []) {
    const at = x(s).toFixed(1);
    parts.push(
      `<line class="mark" x1="${at}" x2="${at}" y1="${TOP}" y2="${bottom}"><title>${escape(label)}</title></line>`,
    );
  }
  parts.push(`<line class="cursor" y1="${TOP}" y2="${bottom}" hidden/>`);

  const legend = c.series
    .map(
      ({ name, colour }, i) =>
        `<li><i class="c${colour}"></i>${escape(name)} <b data-series="${i}"></b></li>`,
    )
    .join('');
  const data = JSON.stringify(
    c.series.map(({ values }) => values.map((v) => (v === null ? null : Number(v.toPrecision(4))))),
  );
  return `<figure data-values='${data}' data-seconds="${c.seconds}" data-unit="${escape(c.unit ?? '')}">
<figcaption><h3>${escape(c.title)}</h3><p>${escape(c.note)}</p><ul>${legend}</ul></figcaption>
<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escape(`${c.title}. ${c.note}`)}">${parts.join('')}</svg>
</figure>`;
}

/** The script of the page: draws a line under the pointer on all charts, with the values there. */
export const HOVER = `
const figures = [...document.querySelectorAll('figure')].map((figure) => ({
  figure, svg: figure.querySelector('svg'), cursor: figure.querySelector('.cursor'),
  values: JSON.parse(figure.dataset.values), seconds: Number(figure.dataset.seconds),
  fields: [...figure.querySelectorAll('b[data-series]')],
}));
const number = new Intl.NumberFormat('en', { maximumSignificantDigits: 4 });
function show(share) {
  for (const { figure, cursor, values, seconds, fields } of figures) {
    const at = Math.round(share * seconds);
    const x = ${LEFT} + (at / seconds) * ${WIDTH - LEFT - RIGHT};
    cursor.removeAttribute('hidden');
    cursor.setAttribute('x1', x);
    cursor.setAttribute('x2', x);
    fields.forEach((field, i) => {
      const value = values[i][at];
      field.textContent = value == null ? '–' : number.format(value) + figure.dataset.unit;
    });
  }
}
function hide() {
  for (const { cursor, fields } of figures) {
    cursor.setAttribute('hidden', '');
    fields.forEach((field) => (field.textContent = ''));
  }
}
for (const { svg } of figures) {
  svg.addEventListener('pointermove', (event) => {
    const box = svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * ${WIDTH};
    show(Math.min(Math.max((x - ${LEFT}) / ${WIDTH - LEFT - RIGHT}, 0), 1));
  });
  svg.addEventListener('pointerleave', hide);
}`;
