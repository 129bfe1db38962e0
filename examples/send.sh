#!/bin/sh
# Sends events to Floodmark with curl.
#
#   FLOODMARK_URL=https://numbers.example.com FLOODMARK_KEY=... sh examples/send.sh
#
# The key is one of the server's `auth.write_keys`. A server on your own machine needs none.
set -eu

url=${FLOODMARK_URL:-http://127.0.0.1:8080}/v1/events

send() {
  # --fail-with-body: an answer such as 401 ends the script, and still says why.
  # --retry: 429, 503 and a server that is away are tried again, after Retry-After where it is said.
  curl --silent --show-error --fail-with-body --retry 5 --retry-connrefused \
    --header "X-Write-Key: ${FLOODMARK_KEY:-}" "$@" "$url"
  echo
}

# One event. The id makes it safe to send again: it counts once within 15 minutes.
send --header 'Content-Type: application/json' --data '{
  "type": "purchase",
  "id": "order-1001",
  "sessionId": "s1",
  "properties": {"amount": 19.99, "currency": "USD"}
}'

# Many events, one a line, from a file or from a program. gzip makes them about ten times smaller.
printf '%s\n' \
  '{"type":"page_view","sessionId":"s1","properties":{"path":"/"}}' \
  '{"type":"page_view","sessionId":"s2","properties":{"path":"/checkout"}}' |
  gzip |
  send --header 'Content-Type: application/x-ndjson' --header 'Content-Encoding: gzip' \
    --data-binary @-
