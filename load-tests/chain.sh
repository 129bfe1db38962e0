#!/usr/bin/env bash
# Measures what the chain of hashes (ledger.chain) costs: pairs of runs of the same load, one without it and one with
# it, each with an empty database; which one comes first changes from pair to pair.
#   load-tests/chain.sh [SECONDS] [EVENTS_A_SECOND] [PAIRS] [postgres|sqlite]
# Prints the CPU seconds per 1M events of the server (and of Postgres) of each run, then the mean of all pairs. Needs
# wrk, with postgres also PostgreSQL (Debian: apt-get install wrk postgresql), and a release build. It starts private
# servers and removes them.
set -eu
cd "$(dirname "$0")/.."
. load-tests/servers.sh
seconds=${1:-20} pairs=${3:-3} store=${4:-postgres}
export BATCH=100 RATE=${2:-20000}
need wrk wrk
need node nodejs

private_folder
if [ "$store" = postgres ]; then
  need psql postgresql-client
  start_postgres
  maintenance_url=$postgres_url
fi

# one CHAIN NAME: a run, whose CPU seconds go to $dir/cpu.
one() {
  local arguments=() processes
  export FLOODMARK_LEDGER__CHAIN=$1
  rm -rf "$dir/data"
  if [ "$store" = postgres ]; then
    postgres_url=$maintenance_url
    sql "CREATE DATABASE $2"
    postgres_url=${maintenance_url%/*}/$2
    arguments=(--postgres "$postgres_url")
  fi
  start_floodmark "${arguments[@]}"
  processes=("server=$server")
  [ "$store" = postgres ] && processes+=("postgres=$postgres" "postgres_url=$postgres_url")
  load_command "$seconds" 8
  node load-tests/measure.mjs "$url" "$seconds" "${processes[@]}" -- "${load[@]}" >"$dir/measured"
  echo "chain=$1"
  grep -E 'CPU:|events stored|WAL bytes' "$dir/measured" | sed 's/^/  /'
  grep -oP '^(server|postgres) CPU: \K[0-9.]+' "$dir/measured" | sed "s/^/$1 /" >>"$dir/cpu"
  kill "$server"
  wait "$server" || true
  if [ "$store" = postgres ]; then
    postgres_url=$maintenance_url
    sql "DROP DATABASE $2"
  fi
}

for pair in $(seq "$pairs"); do
  if [ $((pair % 2)) -eq 1 ]; then
    one false "off$pair"
    one true "on$pair"
  else
    one true "on$pair"
    one false "off$pair"
  fi
done
awk -v pairs="$pairs" '{ sum[$1] += $2 } END {
  printf "CPU seconds per 1M events, mean of %d pairs: %.2f without the chain, %.2f with it: %+.1f %%\n",
    pairs, sum["false"] / pairs, sum["true"] / pairs, 100 * (sum["true"] / sum["false"] - 1)
}' "$dir/cpu"
