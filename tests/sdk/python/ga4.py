import logging
import urllib.error

from common import BASE, KEY, error, everything, order
from ga4mp import GtagMP

# It warns of parameters that GA4 does not know, as our mark is one.
logging.disable(logging.WARNING)
client = GtagMP(api_secret=KEY, measurement_id="G-TEST", client_id="111.222")
# It knows no other address, and has no setting for one.
client._base_domain = BASE + "/mp/collect"


def send(name, params):
    event = client.create_new_event(name)
    for key, value in params.items():
        event.set_event_param(key, value)
    try:
        client.send([event])
    except (urllib.error.URLError, ConnectionError):
        pass  # It sends once, and its caller would decide.


everything(
    on_order=lambda mark: send("purchase", {"transaction_id": mark, "value": 59.97, "currency": "EUR", "mark": mark}),
    on_refund=lambda mark: send("refund", {"transaction_id": mark, "value": 59.97, "currency": "EUR", "mark": mark}),
    on_error=lambda mark: send("exception", {"description": "card declined", "mark": mark}),
)
