# Private servers for load tests. This file is sourced; everything that it starts ends with the
# script that sourced it.
#   private_folder      makes $dir, removed at the end with every process in $started
#   start_postgres      sets $postgres (pid) and $postgres_url
#   start_redis         sets $redis (pid) and $redis_url
#   start_floodmark ... sets $server (pid) and $url; arguments go to `floodmark serve`

started=()

stop_all() {
  local pid
  for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${started[@]}"; do wait "$pid" 2>/dev/null || true; done
  [ -s "$dir/log" ] && cat "$dir/log" >&2
  rm -rf "$dir"
}

private_folder() {
  dir=$(mktemp -d)
  chmod 755 "$dir"
  trap stop_all EXIT
}

free_port() {
  node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })'
}

# PostgreSQL refuses to run as root.
as_postgres() {
  if [ "$(id -u)" -eq 0 ]; then
    setpriv --reuid postgres --regid postgres --clear-groups -- "$@"
  else
    "$@"
  fi
}

# Starts PostgreSQL as one would run it: durable, with room for its log and a cache. Prints the
# settings, so that a result can be judged by them.
postgres_settings="shared_buffers=512MB max_wal_size=8GB checkpoint_timeout=15min \
wal_buffers=16MB synchronous_commit=on fsync=on full_page_writes=on"

start_postgres() {
  local bin port setting
  bin=$(dirname "$(command -v postgres || ls -d /usr/lib/postgresql/*/bin/postgres | sort -rV | head -n1)")
  port=$(free_port)
  mkdir "$dir/pg"
  [ "$(id -u)" -eq 0 ] && chown postgres "$dir/pg"
  as_postgres "$bin/initdb" -D "$dir/pg/data" -U floodmark -A trust --encoding=UTF8 --locale=C >"$dir/initdb.log"
  local arguments=(-c listen_addresses=127.0.0.1 -c "port=$port" -c "unix_socket_directories=$dir/pg")
  for setting in $postgres_settings; do arguments+=(-c "$setting"); done
  as_postgres "$bin/postgres" -D "$dir/pg/data" "${arguments[@]}" >"$dir/pg.log" 2>&1 &
  postgres=$!
  started=("$postgres" "${started[@]}")
  postgres_url=postgres://floodmark@127.0.0.1:$port/postgres
  for _ in $(seq 100); do
    sql 'SELECT 1' >/dev/null 2>&1 && break
    sleep 0.1
  done
  echo "Postgres $("$bin/postgres" --version | awk '{print $3}'): $postgres_settings"
}

sql() {
  psql --no-psqlrc -qAt "$postgres_url" -c "$1"
}

start_redis() {
  local port
  port=$(free_port)
  redis-server --bind 127.0.0.1 --port "$port" --save '' --appendonly yes --appendfsync everysec \
    --maxmemory-policy noeviction --dir "$dir" >"$dir/redis.log" &
  redis=$!
  started=("$redis" "${started[@]}")
  redis_url=redis://127.0.0.1:$port
  for _ in $(seq 100); do
    redis-cli -p "$port" ping >/dev/null 2>&1 && break
    sleep 0.1
  done
  echo "Redis $(redis-server --version | sed 's/.*v=\([^ ]*\).*/\1/'): appendonly yes, appendfsync everysec"
}

start_floodmark() {
  local binary=${FLOODMARK_BIN:-target/release/floodmark}
  [ -x "$binary" ] || { echo "$binary is missing: cargo build --release" >&2; exit 1; }
  FLOODMARK_LOG__LEVEL=${FLOODMARK_LOG__LEVEL:-warn} "$binary" serve --listen 127.0.0.1:0 \
    --data-dir "$dir/data" "$@" >"$dir/out" 2>"$dir/log" &
  server=$!
  started=("$server" "${started[@]}")
  url=
  for _ in $(seq 100); do
    url=$(grep -o 'http://[0-9.:]*' "$dir/out" || true)
    [ -n "$url" ] && break
    sleep 0.1
  done
  [ -n "$url" ] || { echo "the server does not start" >&2; exit 1; }
}

# load_command SECONDS CONNECTIONS: sets $load to the command; its script reads BATCH and RATE.
load_command() {
  load=(wrk -t1 "-c$2" "-d$1s" --latency -s load-tests/throughput.lua "$url/v1/events")
}

need() {
  command -v "$1" >/dev/null || { echo "$1 is missing: apt-get install $2" >&2; exit 1; }
}
