import sys

from common import BASE, KEY, error, everything, order
from rudderstack.analytics.client import Client

client = Client(
    KEY, host=BASE, upload_size=40, upload_interval=0.2,
    on_error=lambda e, items: print("lost:", repr(e), len(items), file=sys.stderr),
)
everything(
    on_order=lambda mark: client.track("u1", "Order Completed", order(mark)),
    on_refund=lambda mark: client.track("u1", "Order Refunded", order(mark)),
    on_error=lambda mark: client.track("u1", "Checkout Error", error(mark)),
    on_identify=lambda mark: client.identify(mark, {"plan": "pro"}),
)
client.flush()
client.shutdown()
