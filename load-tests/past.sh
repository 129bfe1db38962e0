#!/usr/bin/env bash
# Measures how fast the past comes in and goes out: `floodmark import` of a file of events of 30 days, and
# `floodmark export` of all that is stored. Beside them, in the same run, a raw binary COPY OUT of the same rows to
# nowhere, and a raw binary COPY IN of them: one connection, one transaction, nothing else running.
#   load-tests/past.sh [EVENTS]
# Needs PostgreSQL, Redis (Debian: apt-get install postgresql redis-server) and a release build. It starts private
# servers and removes them.
set -eu
cd "$(dirname "$0")/.."
. load-tests/servers.sh
events=${1:-1000000}
need psql postgresql-client
need redis-server redis-server
binary=${FLOODMARK_BIN:-target/release/floodmark}

private_folder
start_postgres
start_redis
start_floodmark --postgres "$postgres_url" --redis "$redis_url"

# Events of a shop, most of them page views, in the order of their time.
node - "$events" >"$dir/events.ndjson" <<'JS'
const [events, days, end] = [Number(process.argv[2]), 30, Date.now() - 3 * 3600_000];
const step = (days * 86_400_000) / events;
let lines = [];
for (let n = 0; n < events; n++) {
  const timestamp = Math.floor(end - (events - n) * step);
  const event = { type: 'page_view', id: `past-${n}`, timestamp, sessionId: `s-${n >> 3}`, properties: { path: `/p/${n % 400}` } };
  if (n % 20 === 19) Object.assign(event, { type: 'purchase', properties: { amount: (n % 9000) / 100 + 1, country: 'DE' } });
  lines.push(JSON.stringify(event));
  if (lines.length === 10_000) { process.stdout.write(lines.join('\n') + '\n'); lines = []; }
}
if (lines.length) process.stdout.write(lines.join('\n') + '\n');
JS

# seconds COMMAND...: runs it, and prints how long that took.
seconds() {
  local begin end
  begin=$(date +%s%N)
  "$@" >"$dir/said" 2>&1 || { cat "$dir/said" >&2; exit 1; }
  end=$(date +%s%N)
  awk "BEGIN { printf \"%.2f\", ($end - $begin) / 1e9 }"
}

# shown NAME SECONDS [FLOOR]: a line of the result.
shown() {
  awk -v name="$1" -v took="$2" -v floor="${3:-}" -v events="$events" 'BEGIN {
    printf "%-26s %7.2f s %9d events/s", name, took, events / took
    if (floor) printf "   %.2f of the raw COPY", floor / took
    print ""
  }'
}

took=$(seconds "$binary" import "$dir/events.ndjson" --to "$url" --yes)
stored=$(sql 'SELECT count(*) FROM events')
[ "$stored" = "$events" ] || { echo "$stored of $events events are stored" >&2; exit 1; }
columns='time, received_at, id, type, user_id, session_id, properties, source, dialect'
copy_out() { psql --no-psqlrc -q "$postgres_url" -c "\\copy (SELECT $columns FROM events) TO '$1' (FORMAT binary)"; }
copy_out "$dir/rows" # so that they are in memory
out=$(seconds copy_out /dev/null)
sql 'CREATE TABLE raw (LIKE events INCLUDING ALL) PARTITION BY RANGE (time)'
sql 'CREATE TABLE raw_all PARTITION OF raw DEFAULT'
in=$(seconds psql --no-psqlrc -q "$postgres_url" -c "\\copy raw ($columns) FROM '$dir/rows' (FORMAT binary)")
sql 'DROP TABLE raw'
shown 'raw COPY IN' "$in"
shown 'floodmark import' "$took" "$in"
shown 'raw COPY OUT' "$out"
# To nowhere, as the raw COPY: what a disk takes is another question.
export_as() { "$binary" export --postgres "$postgres_url" --data-dir "$dir/none" --format "$1"; }
to_nowhere() { export_as "$1" >/dev/null; }
for format in ndjson csv parquet; do
  took=$(seconds to_nowhere "$format")
  shown "floodmark export $format" "$took" "$out"
done
lines=$(export_as ndjson | wc -l)
[ "$lines" = "$events" ] || { echo "$lines of $events events are exported" >&2; exit 1; }
