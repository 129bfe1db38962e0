// node memory.mjs WORK MAX_MB [soak]: the server's highest memory and, in a soak, whether memory
// grew once the server was warm. It is warm once the index of ids is nearly as full as it ever
// gets; until then it has to grow, up to its limit. Writes WORK/memory.json; the exit code is 1 if
// the memory exceeded MAX_MB or grew.

import { readFileSync, writeFileSync } from 'node:fs';

// The server counts as warm once the index of ids has this share of its highest fill.
const FULL = 0.98;
// This much time after that is needed to tell growth from noise.
const JUDGED_S = 120;
// Changes up to this much are the allocator's pools, which come and go.
const NOISE_MB = 16;

const [work, maxMb, kind] = process.argv.slice(2);
const samples = readFileSync(`${work}/watch.ndjson`, 'utf8').trim().split('\n').map(JSON.parse);
const begin = samples[0].t;
const series = samples
  .filter((sample) => sample.rss.server > 0)
  .map((sample) => ({
    s: (sample.t - begin) / 1000,
    mb: sample.rss.server / 2 ** 20,
    ids: sample.metrics?.dedupe_ids ?? 0,
  }));
const highest = Math.max(...series.map(({ mb }) => mb));
const median = (list) => list.map(({ mb }) => mb).sort((a, b) => a - b)[list.length >> 1];

let ok = highest <= Number(maxMb);
console.log(`${ok ? 'ok  ' : 'FAIL'} memory: at most ${highest.toFixed(0)} MB of ${maxMb}`);
const result = { highest, max: Number(maxMb) };
const most = Math.max(...series.map(({ ids }) => ids));
const warm = series.slice(series.findIndex(({ ids }) => ids >= FULL * most));
const lasted = warm[warm.length - 1].s - warm[0].s;
if (lasted >= JUDGED_S) {
  const quarter = Math.floor(warm.length / 4);
  const [early, late] = [median(warm.slice(0, quarter)), median(warm.slice(-quarter))];
  // Under any load that is not constant, memory follows the load, so growth says nothing.
  const grew = kind === 'soak' && late - early > NOISE_MB;
  ok &&= !grew;
  Object.assign(result, { early, late });
  console.log(
    `${grew ? 'FAIL' : kind === 'soak' ? 'ok  ' : '    '} growth: ${early.toFixed(0)} MB in the first quarter of ` +
      `${lasted.toFixed(0)} s with a full index of ids, ${late.toFixed(0)} MB in the last`,
  );
} else {
  console.log(
    `     growth: not judged, the index of ids was full for ${lasted.toFixed(0)} of ${JUDGED_S} s`,
  );
}
writeFileSync(`${work}/memory.json`, JSON.stringify({ ...result, ok }));
process.exit(ok ? 0 : 1);
