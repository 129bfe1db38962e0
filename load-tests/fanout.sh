#!/usr/bin/env bash
# What a viewer costs: memory, CPU per delivery, spread of one frame; in the same run beside a
# broadcaster with Node's `ws`, and beside the floor: one bare write for each viewer and frame.
#   load-tests/fanout.sh [VIEWERS] [SECONDS]
# Needs a release build (cargo build --release --bins --examples), Node 20 and npm, and
# `ulimit -n` of three times the viewers.
set -eu
cd "$(dirname "$0")/.."
viewers=${1:-3000} seconds=${2:-20}
binary=${FLOODMARK_BIN:-target/release/floodmark}
watchers=target/release/examples/watchers bare=target/release/examples/bare_broadcaster
for needed in "$binary" "$watchers" "$bare"; do
  [ -x "$needed" ] || { echo "$needed is missing: cargo build --release --bins --examples" >&2; exit 1; }
done
ulimit -n "$(ulimit -Hn)"

dir=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null; wait "${pids[@]}" 2>/dev/null; rm -rf "$dir"' EXIT

# Waits for the address that a server prints.
address() {
  for _ in $(seq 100); do
    url=$(grep -o 'http://[0-9.:]*' "$1" | head -1 || true)
    [ -n "$url" ] && return
    sleep 0.1
  done
  echo "no server: $(cat "$1")" >&2
  exit 1
}

FLOODMARK_LOG__LEVEL=error "$binary" serve --listen 127.0.0.1:0 --data-dir "$dir/data" >"$dir/out" &
floodmark=$!
pids+=("$floodmark")
address "$dir/out"
echo "floodmark"
"$watchers" "ws://${url#http://}/api/analytics/stream" "$floodmark" "$viewers" "$seconds" "$url/v1/events"
kill "$floodmark" && wait "$floodmark" || true

npm install --silent --no-save --prefix "$dir" ws@8 >/dev/null
WS_FROM="$dir/node_modules" node load-tests/fanout-ws.mjs >"$dir/ws" &
node=$!
pids+=("$node")
address "$dir/ws"
echo "node ws"
"$watchers" "ws://${url#http://}/" "$node" "$viewers" "$seconds"
kill "$node" && wait "$node" || true

"$bare" >"$dir/bare" &
floor=$!
pids+=("$floor")
address "$dir/bare"
echo "bare writes"
"$watchers" "ws://${url#http://}/" "$floor" "$viewers" "$seconds"
