import logging
import time
from urllib.parse import urlparse

from common import BASE, EACH, everything
from snowplow_tracker import Emitter, SelfDescribing, SelfDescribingJson, StructuredEvent, Tracker

logging.disable(logging.CRITICAL)
url = urlparse(BASE)
taken = []
emitter = Emitter(
    url.hostname, protocol="http", port=url.port, batch_size=20, max_retry_delay_seconds=1,
    on_success=taken.extend,
)
tracker = Tracker("sp", emitter, app_id="shop", encode_base64=False)
ECOMMERCE = "iglu:com.snowplowanalytics.snowplow.ecommerce"
ACTION = ECOMMERCE + "/snowplow_ecommerce_action/jsonschema/1-0-2"


def order(mark):
    # While it waits to send again it gathers all events, and would end with too few requests.
    time.sleep(0.04)
    order_ = {"transaction_id": mark, "revenue": 59.97, "currency": "EUR", "payment_method": "card"}
    context = SelfDescribingJson(ECOMMERCE + "/transaction/jsonschema/1-0-0", order_)
    tracker.track(SelfDescribing(SelfDescribingJson(ACTION, {"type": "transaction"}), context=[context]))


everything(
    on_order=order,
    on_error=lambda mark: tracker.track(StructuredEvent("error", "CARD_DECLINED", label=mark, value=1)),
)
# What could not be sent is kept, and a thread of its own sends it again; it would end with the program.
give_up = time.monotonic() + 60
while len(taken) < 2 * EACH and time.monotonic() < give_up:
    tracker.flush()
    time.sleep(0.1)
