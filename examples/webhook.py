"""Is told when an alert fires and when it is over, and believes only Floodmark. Needs only Python.

    WEBHOOK_SECRET='something long' PORT=9000 python3 examples/webhook.py

In Floodmark's configuration:

    [[webhook]]
    name = "example"
    url = "http://127.0.0.1:9000/"
    secret = "${WEBHOOK_SECRET}"
"""

import hashlib
import hmac
import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = os.environ["WEBHOOK_SECRET"].encode()
OLDEST = 300  # seconds: an older request was recorded by somebody, and is sent again
seen = set()  # a real receiver keeps these for a day, and outside of its memory


def is_genuine(headers, body):
    """Whether the request was signed with our secret, and lately."""
    timestamp = headers.get("X-Floodmark-Timestamp", "")
    signature = headers.get("X-Floodmark-Signature", "")
    mac = hmac.new(SECRET, timestamp.encode() + b"." + body, hashlib.sha256)
    # compare_digest takes as long whatever differs, so that nobody can guess byte by byte.
    if not hmac.compare_digest("sha256=" + mac.hexdigest(), signature):
        return False
    return abs(time.time() - int(timestamp) / 1000) < OLDEST


class Webhook(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not is_genuine(self.headers, body):
            return self.answer(401)
        # The same notification comes again when our answer did not arrive: with the same key.
        key = self.headers["Idempotency-Key"]
        if key not in seen:
            seen.add(key)
            alert = json.loads(body)
            print(alert["change"], alert["severity"], alert["title"], "-", alert["summary"], flush=True)
        # Anything but 2xx is sent again later.
        self.answer(204)

    def answer(self, status):
        self.send_response(status)
        self.end_headers()


server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "9000"))), Webhook)
print(f"listening on http://127.0.0.1:{server.server_port}/", flush=True)
server.serve_forever()
