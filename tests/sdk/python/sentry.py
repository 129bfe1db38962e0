import time

import sentry_sdk
from common import BASE, KEY, everything
from sentry_sdk.integrations.dedupe import DedupeIntegration

sentry_sdk.init(
    dsn=f"http://{KEY}@{BASE.split('//')[1]}/42", environment="test",
    disabled_integrations=[DedupeIntegration()], transport_queue_size=2000,
)


def fail(mark):
    # After a 429 it drops what comes within the next second, so this takes a few seconds.
    time.sleep(0.025)
    try:
        raise TypeError(f"card declined {mark}")
    except TypeError as e:
        sentry_sdk.capture_exception(e)


everything(on_error=fail)
sentry_sdk.flush(20)
time.sleep(0.2)
