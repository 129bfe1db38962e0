#!/usr/bin/env bash
# Measures how long a start takes, with an empty spool and with one that holds what Postgres could
# not take during an outage, and how fast such a spool is worked off.
#   load-tests/recovery.sh [SPOOL_MEGABYTES]
# Needs what load-tests/postgres.sh needs.
set -eu
cd "$(dirname "$0")/.."
. load-tests/servers.sh
megabytes=${1:-1000}
export BATCH=500
need wrk wrk
need redis-server redis-server
binary=${FLOODMARK_BIN:-target/release/floodmark}

private_folder
start_postgres
start_redis
serve=(serve --listen 127.0.0.1:0 --data-dir)
stores=(--postgres "$postgres_url" --redis "$redis_url")

for round in 1 2 3; do
  node load-tests/start.mjs 'empty, embedded' "$binary" "${serve[@]}" "$dir/empty$round"
done
for round in 1 2 3; do
  node load-tests/start.mjs 'empty, Postgres and Redis' "$binary" "${serve[@]}" "$dir/more$round" "${stores[@]}"
done

# Nobody listens on port 1, so the store takes nothing and the spool grows.
start_floodmark --postgres postgres://nobody@127.0.0.1:1/none --redis "$redis_url"
spool() { du -sm "$dir/data/spool" | cut -f1; }
load_command 2 16
while [ "$(spool)" -lt "$megabytes" ]; do "${load[@]}" >/dev/null; done
kill -9 "$server"
wait "$server" 2>/dev/null || true
echo "the spool holds $(spool) MB"
cp -r "$dir/data" "$dir/copy"
# The copy is another node, were both to write to one place: it goes to SQLite.
node load-tests/start.mjs 'full, Postgres and Redis' "$binary" "${serve[@]}" "$dir/data" "${stores[@]}"
node load-tests/start.mjs 'full, embedded' "$binary" "${serve[@]}" "$dir/copy"
