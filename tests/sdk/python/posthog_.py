import sys

from common import BASE, KEY, error, everything, order
from posthog import Posthog

client = Posthog(
    KEY, host=BASE, flush_at=40, flush_interval=0.2, max_retries=10,
    on_error=lambda e, items: print("lost:", repr(e), len(items), file=sys.stderr),
)
everything(
    on_order=lambda mark: client.capture("Order Completed", distinct_id="u1", properties=order(mark)),
    on_refund=lambda mark: client.capture("Order Refunded", distinct_id="u1", properties=order(mark)),
    on_error=lambda mark: client.capture("Checkout Error", distinct_id="u1", properties=error(mark)),
    on_identify=lambda mark: client.set(distinct_id=mark, properties={"plan": "pro"}),
)
client.flush()
client.shutdown()
