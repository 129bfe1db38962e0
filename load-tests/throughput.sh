#!/usr/bin/env bash
# Measures events a second with the embedded default, with server and load on the same machine,
# and the server's CPU seconds per 1M events, SQLite included.
#   load-tests/throughput.sh [SECONDS] [CONNECTIONS] [BATCH] [EVENTS_A_SECOND, 0: all it takes]
# Needs wrk (Debian: apt-get install wrk) and a release build.
set -eu
cd "$(dirname "$0")/.."
. load-tests/servers.sh
seconds=${1:-30} connections=${2:-16}
export BATCH=${3:-100} RATE=${4:-0}
need wrk wrk

private_folder
start_floodmark
load_command "$seconds" "$connections"
node load-tests/measure.mjs "$url" "$seconds" "server=$server" -- "${load[@]}"
