// Reads what a server, Postgres and Redis have done so far, as they count it themselves. The
// difference of two readings is what a load cost.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const run = (program, ...args) => execFileSync(program, args, { encoding: 'utf8' });

function ofPostgres(url) {
  const one = (sql) => Number(run('psql', '--no-psqlrc', '-qAt', url, '-c', sql));
  const size = (tables) => one(`SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class
    WHERE relkind = 'r' AND relname ~ '${tables}'`);
  return {
    'Postgres transactions': one('SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()'),
    'Postgres WAL bytes': one("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"),
    'Postgres bytes of events': size('^events_'),
    'Postgres bytes of the ledger': size('^ledger'),
  };
}

function ofRedis(url) {
  const info = run('redis-cli', '-u', url, 'INFO', 'all');
  const number = (name) => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1] ?? 0);
  const calls = (command) => Number(new RegExp(`^cmdstat_${command}:calls=(\\d+)`, 'm').exec(info)?.[1] ?? 0);
  return {
    'Redis commands, those inside scripts too': number('total_commands_processed'),
    'Redis scripts': calls('evalsha') + calls('eval'),
    'Redis increments': calls('hincrby'),
    'Redis messages published': calls('spublish'),
    'Redis ZADD': calls('zadd'),
    'Redis bytes in': number('total_net_input_bytes'),
    'Redis bytes out': number('total_net_output_bytes'),
  };
}

// For a process: bytes that it wrote to the disk, and bytes to and from all sockets and files.
function ofServer(pid) {
  const io = readFileSync(`/proc/${pid}/io`, 'utf8');
  const number = (name) => Number(new RegExp(`^${name}: (\\d+)`, 'm').exec(io)[1]);
  return { 'server bytes to disk': number('write_bytes') };
}

export function read({ postgres_url, redis_url, server }) {
  return {
    ...(postgres_url ? ofPostgres(postgres_url) : {}),
    ...(redis_url ? ofRedis(redis_url) : {}),
    ...ofServer(server),
  };
}
