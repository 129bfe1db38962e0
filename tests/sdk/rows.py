"""Prints the rows of a store's events as JSON: type, properties, and id with user. And some refused ones."""

import json
import sqlite3
import sys

database = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
rows = database.execute(
    "SELECT type, properties, id || ' ' || coalesce(user_id, '') FROM events"
)
letters = database.execute("SELECT code, message, raw FROM dead_letters LIMIT 5").fetchall()
print(json.dumps({"events": rows.fetchall(), "letters": letters}))
