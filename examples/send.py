"""Sends events to Floodmark from a shop's back end. Needs nothing but Python.

    FLOODMARK_URL=https://numbers.example.com FLOODMARK_KEY=... python3 examples/send.py

The key is one of the server's `auth.write_keys`. A server on your own machine needs none.
"""

import json
import os
import time
import urllib.error
import urllib.request
import uuid

URL = os.environ.get("FLOODMARK_URL", "http://127.0.0.1:8080") + "/v1/events"
KEY = os.environ.get("FLOODMARK_KEY", "")


def event(kind, session, **properties):
    """An event of this moment. With an id it counts once, however often it is sent."""
    return {
        "type": kind,
        "id": str(uuid.uuid4()),
        "timestamp": int(time.time() * 1000),
        "sessionId": session,
        "properties": properties,
    }


def send(events, tries=5):
    """Sends events and returns the server's answer. Once this returns, they are on its disk."""
    body = json.dumps(events).encode()
    headers = {"Content-Type": "application/json", "X-Write-Key": KEY}
    for left in reversed(range(tries)):
        try:
            request = urllib.request.Request(URL, body, headers)
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            # 429 and 503 say when to come back; any other answer would be the same again.
            if error.code not in (429, 503) or not left:
                raise RuntimeError(f"{error.code}: {error.read().decode()}") from error
            time.sleep(int(error.headers.get("Retry-After", 1)))
        except OSError:
            # No answer: perhaps it came, perhaps not. Thanks to the ids it is safe to try again.
            if not left:
                raise
            time.sleep(1)


answer = send([
    event("page_view", "s1", path="/"),
    event("purchase", "s1", amount=19.99, currency="USD", gateway="paypal"),
    event("purchase", "s2"),  # without an amount: refused, and the others are taken all the same
])
print("accepted", answer["accepted"])
for refused in answer["rejected"]:
    print("rejected", refused["index"], refused["code"], refused["message"])
