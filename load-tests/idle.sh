#!/usr/bin/env bash
# Measures how many requests a second a node makes of Redis and Postgres while it gets no events.
#   load-tests/idle.sh [SECONDS]
# Needs what load-tests/postgres.sh needs.
set -eu
cd "$(dirname "$0")/.."
. load-tests/servers.sh
seconds=${1:-20}

private_folder
start_postgres
start_redis
start_floodmark --postgres "$postgres_url" --redis "$redis_url"
# One event for each lane, so that all lanes have begun and are idle.
for _ in 1 2 3 4; do
  curl -sf -H 'Content-Type: application/json' -d '{"type":"page_view"}' "$url/v1/events" >/dev/null
  sleep 0.3
done
transactions() { sql "SELECT xact_commit FROM pg_stat_database WHERE datname = 'postgres'"; }
sleep 2 # Postgres shows a transaction in its statistics a moment later
redis-cli -u "$redis_url" CONFIG RESETSTAT >/dev/null
before=$(transactions)
sleep "$seconds"
redis-cli -u "$redis_url" INFO commandstats | tr -d '\r' |
  awk -F'[_:=,]' -v s="$seconds" '/^cmdstat_/ && !/info|config/ { printf "%s: %.1f a second\n", $2, $4 / s }'
# The two queries that ask for the statistics are transactions, too.
echo "Postgres transactions: $(awk "BEGIN { print ($(transactions) - $before - 1) / $seconds }") a second"
