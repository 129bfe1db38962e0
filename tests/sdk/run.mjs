// Lets the real SDKs send to a real server, through a proxy that spoils some of their requests, and looks
// at what the store has afterwards: of SDKs that send again, every event exactly once; of the others,
// every event of a request that the server took, once each. Each SDK also runs without any fault, and
// must have nothing to complain of then.
//
//   node run.mjs           all SDKs
//   node run.mjs NAME ...  only those with NAME in "node/segment", "python/rudder", ...

import os from 'node:os';
import { drive } from './drive.mjs';
import { FAULTS, marksIn, startProxy } from './proxy.mjs';
import { SDKS } from './sdks.mjs';
import { KEY, startServer } from './server.mjs';

/** The types that events of each kind become. */
const TYPES = { o: ['purchase'], r: ['refund'], e: ['error'], i: null };
/** A page is done when nothing has come from it for so long. */
const QUIET_MS = 8_000;

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const id = ({ on, name }) => `${on}/${name.replace(/_$/, '')}`;

/** Waits until a page has sent all that it has: every event was taken, or nothing comes any more. */
async function settled(requests, wanted, quietMs = QUIET_MS) {
  for (let before = -1; ; ) {
    const taken = new Set(requests.filter(isTaken).flatMap(({ marks }) => marks));
    if (taken.size === wanted || requests.length === before) return;
    before = requests.length;
    await sleep(quietMs);
  }
}

const isTaken = ({ status }) => status >= 200 && status < 300;

/** Runs one SDK, and says whether all is well. */
async function check(sdk, faults) {
  const isCalm = faults.length === 0;
  const server = await startServer(sdk.config);
  const proxy = await startProxy(server.url, faults);
  try {
    const all = [...sdk.kinds].flatMap((kind) =>
      Array.from({ length: sdk.each }, (_, n) => `mk-${kind}-${n}`),
    );
    const begin = Date.now();
    const said = await drive(sdk, proxy.url, () => settled(proxy.requests, all.length, sdk.quietMs));
    const took = Date.now() - begin;
    const { events, letters } = await server.rows();
    const wrong = [];
    const taken = new Set(proxy.requests.filter(isTaken).flatMap(({ marks }) => marks));
    const expected = sdk.retries || isCalm ? new Set(all) : taken;
    // What an SDK gives up is gone where the server had not taken it.
    const last = new Map(proxy.requests.flatMap(({ marks, fault }) => marks.map((mark) => [mark, fault])));
    const isGivenUp = (mark) => sdk.givesUp?.includes(last.get(mark)) && !taken.has(mark);
    [...expected].filter(isGivenUp).forEach((mark) => expected.delete(mark));
    const found = new Map();
    for (const [type, properties, who] of events) {
      // The entry of a webhook for the books is an event of its own.
      if (properties.includes('"order_entry"')) continue;
      // An order has its mark among its properties, also where its user has the mark of an identify.
      const [mark] = [...marksIn(properties), ...marksIn(who)];
      if (!mark) continue;
      if (properties.includes(KEY)) wrong.push(`the key is among the properties of ${mark}`);
      const types = TYPES[mark[3]];
      if (types && !types.includes(type)) wrong.push(`${mark} became ${type}`);
      found.set(mark, (found.get(mark) ?? 0) + 1);
    }
    const missing = [...expected].filter((mark) => !found.has(mark));
    const answers = (mark) => proxy.requests.filter((it) => isTaken(it) && it.marks.includes(mark)).length;
    const may = (mark) => (sdk.noIds ? answers(mark) : 1);
    const doubled = [...found].filter(([mark, times]) => times > 1 && times !== may(mark)).map(([mark]) => mark);
    const unknown = [...found.keys()].filter((mark) => !expected.has(mark));
    if (missing.length > 0) wrong.push(`missing ${missing.length}: ${missing.slice(0, 5)}`);
    if (doubled.length > 0) wrong.push(`doubled ${doubled.length}: ${doubled.slice(0, 5)}`);
    if (unknown.length > 0) wrong.push(`not expected ${unknown.length}: ${unknown.slice(0, 5)}`);
    if (letters.length > 0) wrong.push(`refused: ${JSON.stringify(letters[0])}`);
    const counted = Object.values(await server.counts()).reduce((sum, count) => sum + count, 0);
    if (counted !== events.length) wrong.push(`${counted} counted, ${events.length} stored`);
    const spoilt = proxy.requests.slice(0, faults.length).map(({ fault }) => fault);
    const unused = faults.filter((fault) => fault !== 'pass' && !spoilt.includes(fault));
    if (unused.length > 0) wrong.push(`too few requests to spoil: ${unused}`);
    const allowed = isCalm ? [] : (sdk.grumbles ?? []);
    const complaints = said.filter((line) => !allowed.some((pattern) => pattern.test(line)));
    if (complaints.length > 0) wrong.push(`said: ${complaints.slice(0, 5).join(' | ')}`);
    const sum = `${all.length} sent, ${found.size} stored, ${proxy.requests.length} requests, ${took} ms`;
    console.log(`${wrong.length > 0 ? 'FAIL' : 'ok  '} ${id(sdk)}${isCalm ? ', calm' : ''}: ${sum}`);
    wrong.slice(0, 8).forEach((what) => console.log(`       ${what}`));
    return wrong.length === 0;
  } finally {
    proxy.stop();
    await server.stop();
  }
}

const wanted = process.argv.slice(2);
const chosen = SDKS.filter((sdk) => wanted.length === 0 || wanted.some((name) => id(sdk).includes(name)));
// First without any fault, where no SDK may say a word; then with all of them.
const runs = chosen.flatMap((sdk) => [[{ ...sdk, each: 10 }, []], [sdk, FAULTS]]);
const queue = [...runs];
let passed = 0;
await Promise.all(
  Array.from({ length: Math.min(4, os.availableParallelism() + 1) }, async () => {
    for (let run = queue.shift(); run; run = queue.shift()) {
      const isFine = await check(...run).catch((e) => {
        console.log(`FAIL ${id(run[0])}: ${e.stack}`);
        return false;
      });
      if (isFine) passed += 1;
    }
  }),
);
console.log(`# tests ${runs.length}\n# pass ${passed}\n# fail ${runs.length - passed}`);
process.exit(passed === runs.length && runs.length > 0 ? 0 : 1);
