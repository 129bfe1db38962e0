import sys
import time

from amplitude import Amplitude, BaseEvent, Config, EventOptions, Identify
from common import BASE, EACH, KEY, error, everything, order

told = [0]


def callback(event, code, message=None):
    told[0] += 1
    if code != 200:
        print("lost:", code, message, event.event_type, file=sys.stderr)


client = Amplitude(KEY, Config(
    server_url=BASE + "/2/httpapi", flush_queue_size=40, flush_interval_millis=200, flush_max_retries=12,
    callback=callback,
))


def send(name, properties):
    client.track(BaseEvent(name, user_id="u1", event_properties=properties))


everything(
    on_order=lambda mark: send("Order Completed", order(mark)),
    on_refund=lambda mark: send("Order Refunded", order(mark)),
    on_error=lambda mark: send("Checkout Error", error(mark)),
    on_identify=lambda mark: client.identify(Identify().set("plan", "pro"), EventOptions(user_id=mark)),
)
# A request whose connection is reset is never heard of again, so all may not come.
before, quiet = -1, 0
while told[0] < 4 * EACH and quiet < 16:
    quiet = quiet + 1 if told[0] == before else 0
    before = told[0]
    # An event that waits to be sent again may wait until something asks for it.
    client.flush()
    time.sleep(0.5)
client.shutdown()
