#!/usr/bin/env bash
# A short load test of the program without Postgres and Redis. It starts the program on a free port
# with an empty data folder, runs smoke.js with k6, and compares what was sent with what was counted.
#
# FLOODMARK_BIN   the program (target/debug/floodmark)
# RATE BATCH DURATION   see smoke.js
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
FLOODMARK_BIN=${FLOODMARK_BIN:-target/debug/floodmark}
. load-tests/lib/stage.sh

need_server
need_k6
need_node
make_work
start_server

status=0
BASE=$base SUMMARY=$work/summary.json RUN=$$ \
  "$k6" run --quiet --no-usage-report --address localhost:0 load-tests/smoke.js || status=$?
if [ -s "$work/summary.json" ]; then
  node load-tests/compare.mjs "$base" "$work/summary.json" || status=1
else
  status=1
fi
if [ "$status" -ne 0 ]; then
  say "what the server said last:"
  tail -n 30 "$work/server.log" >&2
fi
exit "$status"
