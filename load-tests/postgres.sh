#!/usr/bin/env bash
# Measures how many events a second go into Postgres and Redis, with servers and load on the same
# machine. Beside it, in the same run, a raw binary COPY of the same rows: one connection, 5,000
# rows a transaction, nothing else running. Also measures what the load costs: CPU seconds per 1M
# events of the server, Postgres and Redis.
#   load-tests/postgres.sh [SECONDS] [CONNECTIONS] [BATCH] [EVENTS_A_SECOND, 0: all it takes]
# Needs wrk, PostgreSQL, Redis (Debian: apt-get install wrk postgresql redis-server) and a release
# build. It starts private servers and removes them.
set -eu
cd "$(dirname "$0")/.."
. load-tests/servers.sh
seconds=${1:-60} connections=${2:-16}
export BATCH=${3:-100} RATE=${4:-0}
need wrk wrk
need psql postgresql-client
need redis-server redis-server

private_folder
start_postgres
start_redis

# The rows for the raw COPY are what the server itself stores of this load, in files of 5,000.
start_floodmark --postgres "$postgres_url" --redis "$redis_url"
load_command 3 "$connections"
node load-tests/measure.mjs "$url" 3 "server=$server" -- "${load[@]}" >/dev/null
columns='time, received_at, id, type, user_id, session_id, properties'
rows=$(sql 'SELECT least(500000, count(*) / 5000 * 5000) FROM events')
sql "COPY (SELECT $columns FROM events LIMIT $rows) TO STDOUT (FORMAT binary)" |
  node load-tests/split-copy.mjs "$dir/rows" 5000
sql 'CREATE TABLE raw (LIKE events INCLUDING ALL)'
for file in "$dir"/rows/*; do
  echo "\\copy raw ($columns) FROM '$file' (FORMAT binary)"
done >"$dir/raw.sql"
sql CHECKPOINT
raw() {
  local begin end
  sql 'TRUNCATE raw'
  begin=$(date +%s%N)
  psql --no-psqlrc -q "$postgres_url" -f "$dir/raw.sql"
  end=$(date +%s%N)
  [ "$(sql 'SELECT count(*) FROM raw')" = "$rows" ] || { echo "the raw COPY lost rows" >&2; exit 1; }
  echo $((rows * 1000000000 / (end - begin)))
}
raw >/dev/null # a first run, so that files and catalogue are in memory for the measured ones
raw=$(raw)
echo "raw binary COPY, one connection, 5,000 rows a transaction: $raw rows/s"
sql 'DROP TABLE raw'

load_command "$seconds" "$connections"
node load-tests/measure.mjs "$url" "$seconds" "server=$server" "postgres=$postgres" "redis=$redis" \
  "postgres_url=$postgres_url" "redis_url=$redis_url" "raw=$raw" -- "${load[@]}"
