"""Prints today's numbers whenever they change. Needs nothing but Python.

    FLOODMARK_URL=https://numbers.example.com FLOODMARK_TOKEN=... python3 examples/watch.py

The token is one of the server's `auth.viewer_tokens`. A server on your own machine needs none.

Python has no WebSocket of its own, so this asks once a second, which costs the server next to
nothing. To see every change as it happens, open `/api/analytics/stream` with a package such as
`websockets`; watch.mjs shows what to do with its frames.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request

URL = os.environ.get("FLOODMARK_URL", "http://127.0.0.1:8080") + "/api/analytics/current"
TOKEN = os.environ.get("FLOODMARK_TOKEN", "")


def current():
    """Today's totals, and every metric of the configuration under `metrics`."""
    request = urllib.request.Request(URL, headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


shown = None
while True:
    try:
        now = current()
    except urllib.error.HTTPError as error:
        # 401, say: asking again would not help.
        sys.exit(f"{error.code}: {error.read().decode()}")
    except OSError as error:
        # The server starts again, or the network is away: the numbers will be there afterwards.
        print("no answer:", error, file=sys.stderr)
        time.sleep(5)
        continue
    line = (
        f"{now['day']}: {now['purchases']} orders, {now['revenue']} {now['currency']}, "
        f"{now['pageViews']} page views, {now['errors']} errors, {now['activeUsers']} active"
    )
    if line != shown:
        print(line, flush=True)
        shown = line
    time.sleep(1)
