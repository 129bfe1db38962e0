import urllib.error
import urllib.request

from cloudevents.core.bindings.http import to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from common import BASE, KEY, error, everything, order

FORMAT = JSONFormat()


def send(kind, data, as_http, **more):
    # A source that is given leaves nothing of the id to chance but its random part.
    message = as_http(CloudEvent({"type": kind, "source": "/shop", **more}, data), FORMAT)
    headers = {**message.headers, "Authorization": f"Bearer {KEY}"}
    request = urllib.request.Request(BASE + "/v1/cloudevents", message.body, headers)
    try:
        urllib.request.urlopen(request, timeout=30).read()
    except (urllib.error.URLError, ConnectionError):
        pass  # The package makes messages; who sends them decides what is sent again.


everything(
    on_order=lambda mark: send("Order Completed", order(mark), to_structured),
    on_refund=lambda mark: send("Order Refunded", order(mark), to_binary),
    on_error=lambda mark: send("Checkout Error", error(mark), to_binary),
    on_identify=lambda mark: send("identify", {"plan": "pro"}, to_structured, userid=mark),
)
