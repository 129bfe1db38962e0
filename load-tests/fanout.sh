#!/usr/bin/env bash
# Measures what a viewer costs: memory, CPU per delivery, and the time from the first viewer that
# gets a frame to the last. In the same run it measures a broadcaster with Node's `ws`, and the
# floor: one bare write for each viewer and frame. Then both again with deflated frames, as
# browsers offer them.
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

# Waits until a server has printed its address.
address() {
  for _ in $(seq 100); do
    url=$(grep -o 'http://[0-9.:]*' "$1" | head -1 || true)
    [ -n "$url" ] && return
    sleep 0.1
  done
  echo "no server: $(cat "$1")" >&2
  exit 1
}

floodmark() {
  FLOODMARK_LOG__LEVEL=error "$binary" serve --listen 127.0.0.1:0 --data-dir "$dir/data" >"$dir/out" &
  local pid=$!
  pids+=("$pid")
  address "$dir/out"
  echo "floodmark$1"
  "$watchers" "ws://${url#http://}/api/analytics/stream" "$pid" "$viewers" "$seconds" "$url/v1/events"
  kill "$pid" && wait "$pid" || true
}

# other TITLE COMMAND...: measures any other broadcaster that prints its address.
other() {
  local title=$1
  shift
  "$@" >"$dir/out" &
  local pid=$!
  pids+=("$pid")
  address "$dir/out"
  echo "$title"
  "$watchers" "ws://${url#http://}/" "$pid" "$viewers" "$seconds"
  kill "$pid" && wait "$pid" || true
}

npm install --silent --no-save --prefix "$dir" ws@8 >/dev/null
export WS_FROM="$dir/node_modules"

floodmark ""
other "node ws" node load-tests/fanout-ws.mjs
other "bare writes" "$bare"
export DEFLATE=1
floodmark ", deflated"
other "node ws, deflated" node load-tests/fanout-ws.mjs
