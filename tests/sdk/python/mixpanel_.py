import mixpanel
from common import BASE, KEY, error, everything, order

consumer = mixpanel.Consumer(
    events_url=BASE + "/track", people_url=BASE + "/engage", import_url=BASE + "/import",
    retry_limit=8, retry_backoff_factor=0.1,
)
client = mixpanel.Mixpanel(KEY, consumer=consumer)


def send(name, properties):
    try:
        client.track("u1", name, properties)
    except Exception:
        pass  # It says so to its caller, who would decide; and an answer of others is an error to it.


everything(
    on_order=lambda mark: send("Order Completed", order(mark)),
    on_refund=lambda mark: send("Order Refunded", order(mark)),
    on_error=lambda mark: send("Checkout Error", error(mark)),
)
