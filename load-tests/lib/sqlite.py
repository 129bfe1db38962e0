"""python3 sqlite.py FILE: what the embedded store holds, as JSON."""

import json
import sqlite3
import sys

db = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)


def one(sql):
    return db.execute(sql).fetchone()[0]


print(json.dumps({
    "rows": one("SELECT count(*) FROM events"),
    "ids": one("SELECT count(DISTINCT id) FROM events"),
    "deadLetters": one("SELECT count(*) FROM dead_letters"),
    "ledger": one("SELECT coalesce(sum(events), 0) FROM ledger"),
    "poisoned": one("SELECT coalesce(sum(poisoned), 0) FROM ledger"),
}))
