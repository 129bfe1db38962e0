#!/usr/bin/env bash
# Compares Segment's /v1/batch with the native /v1/events: the same events to one server, in turns.
#   load-tests/dialects.sh [SECONDS a turn] [PAIRS] [CONNECTIONS] [BATCH]
# Prints for each pair the rates and the server's CPU seconds per 1M events (SQLite included), and the ratios.
# Needs wrk (Debian: apt-get install wrk) and a release build.
set -eu
cd "$(dirname "$0")/.."
. load-tests/servers.sh
seconds=${1:-5} pairs=${2:-3} connections=${3:-16}
export BATCH=${4:-100} RATE=0 DIALECT
need wrk wrk

private_folder
start_floodmark
load_command "$seconds" "$connections"

# turn NAME: one load; sets $rate and $cpu
turn() {
  DIALECT=$1
  local report
  report=$(node load-tests/measure.mjs "$url" "$seconds" "server=$server" -- "${load[@]}")
  if grep -q '^status' <<<"$report"; then
    echo "$1: refused: $(grep -m1 '^status' <<<"$report")" >&2
    exit 1
  fi
  rate=$(sed -n 's/^events stored and counted: .* s: \([0-9,]*\)\/s$/\1/p' <<<"$report" | tr -d ,)
  cpu=$(sed -n 's/^server CPU: \([0-9.]*\) s per 1M events$/\1/p' <<<"$report")
  echo "$1: $rate events/s, $cpu CPU s per 1M events"
}

for _ in $(seq "$pairs"); do
  turn native
  native_rate=$rate native_cpu=$cpu
  turn segment
  awk "BEGIN { printf \"segment / native: %.2f of the rate, %.2f of the CPU\n\", $rate / $native_rate, $cpu / $native_cpu }"
done
