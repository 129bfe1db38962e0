#!/usr/bin/env bash
# Events a second on the embedded default, server and load on the same machine, and the server's
# CPU seconds per 1M events, SQLite included.
#   load-tests/throughput.sh [SECONDS] [CONNECTIONS] [BATCH]
# Needs wrk (Debian: apt-get install wrk) and a release build.
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-30} connections=${2:-16}
export BATCH=${3:-100}
binary=${FLOODMARK_BIN:-target/release/floodmark}
command -v wrk >/dev/null || { echo "wrk is missing: apt-get install wrk" >&2; exit 1; }
[ -x "$binary" ] || { echo "$binary is missing: cargo build --release" >&2; exit 1; }

dir=$(mktemp -d)
FLOODMARK_LOG__LEVEL=warn "$binary" serve --listen 127.0.0.1:0 --data-dir "$dir/data" >"$dir/out" 2>"$dir/log" &
server=$!
trap 'kill $server 2>/dev/null; wait $server 2>/dev/null; cat "$dir/log" >&2; rm -rf "$dir"' EXIT
for _ in $(seq 100); do
  url=$(grep -o 'http://[0-9.:]*' "$dir/out" || true)
  [ -n "$url" ] && break
  sleep 0.1
done

wrk -t1 -c"$connections" -d"${seconds}s" --latency -s load-tests/throughput.lua "$url/v1/events" | sed 's/^/  /'

node - "$url" "$server" "$seconds" <<'JS'
const fs = require('fs');
const [url, pid, seconds] = process.argv.slice(2);
const json = async (path) => (await fetch(url + path)).json();
const cpu = () => {
  const fields = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100; // utime + stime, 100 ticks a second
};
(async () => {
  const { lag } = await json('/readyz');
  const stopped = Date.now();
  for (;;) {
    const { lag } = await json('/readyz');
    if (lag.store.events === 0 && lag.live.events === 0) break;
    await new Promise((wait) => setTimeout(wait, 20));
  }
  const { events } = await json('/api/analytics/current');
  const peak = /VmHWM:\s+(\d+)/.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))[1] / 1024;
  const round = (x) => Math.round(x).toLocaleString('en');
  console.log(`events stored and counted: ${round(events)}, ${round(events / seconds)}/s`);
  console.log(`behind at the end: store ${round(lag.store.events)}, live ${round(lag.live.events)} events; caught up in ${Date.now() - stopped} ms`);
  console.log(`server CPU: ${(cpu() / events * 1e6).toFixed(2)} s per 1M events; peak memory ${round(peak)} MB`);
})();
JS
