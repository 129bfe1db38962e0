// Starts a server and prints how long that took. Lets it run until both sinks have taken all that
// was in its spool, then ends it.
//   node load-tests/start.mjs NAME BINARY ARGUMENTS...
import { spawn } from 'node:child_process';

const [name, binary, ...args] = process.argv.slice(2);
const begin = performance.now();
const since = () => Math.round(performance.now() - begin);
const child = spawn(binary, args, {
  stdio: ['ignore', 'pipe', 'inherit'],
  env: { FLOODMARK_LOG__LEVEL: 'error', ...process.env },
});
process.on('exit', () => child.kill('SIGKILL'));
let said = '';
const url = await new Promise((found, ended) => {
  child.stdout.on('data', (data) => {
    const at = /http:\/\/[0-9.:]+/.exec((said += data));
    if (at) found(at[0]);
  });
  child.on('exit', (code) => ended(new Error(`it ended with ${code}`)));
});
const listens = since();
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const readyz = async () => {
  const answer = await fetch(`${url}/readyz?sinks`);
  return { ready: answer.ok, ...(await answer.json()) };
};
let state = await readyz();
const behind = Math.max(state.lag.store.events, state.lag.live.events);
const settling = performance.now();
let ready = state.ready ? since() : null;
while (!state.ready || state.lag.store.batches > 0 || state.lag.live.batches > 0) {
  await wait(behind > 0 ? 20 : 2);
  state = await readyz();
  if (state.ready) ready ??= since();
}
const seconds = (performance.now() - settling) / 1000;
const rate = Math.round(behind / seconds).toLocaleString('en');
const caught = behind > 0 ? `; ${behind.toLocaleString('en')} events recovered in ${seconds.toFixed(1)} s: ${rate}/s` : '';
console.log(`${name}: listens after ${listens} ms, ready after ${ready} ms${caught}`);
child.removeAllListeners('exit');
child.kill('SIGTERM');
await new Promise((ended) => child.on('exit', ended));
