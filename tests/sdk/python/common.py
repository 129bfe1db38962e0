"""What each driver for Python sends: EACH orders, refunds, errors and identifies, each with its mark."""

import os
import time

BASE, KEY = os.environ["BASE"], os.environ["KEY"]
EACH = int(os.environ["EACH"])


def order(mark):
    products = [{"product_id": "p1", "sku": "SKU-1", "name": "Mug", "price": 19.99, "quantity": 3}]
    return {
        "order_id": mark, "total": 59.97, "revenue": 49.97, "currency": "EUR", "mark": mark,
        "products": products,
    }


def error(mark):
    return {"code": "CARD_DECLINED", "message": "card declined", "gateway": "stripe", "mark": mark}


def everything(on_order=None, on_refund=None, on_error=None, on_identify=None):
    """Calls the four functions EACH times, and lets the SDK breathe now and then."""
    for n in range(EACH):
        for kind, call in zip("orei", (on_order, on_refund, on_error, on_identify)):
            if call:
                call(f"mk-{kind}-{n}")
        if n % 5 == 4:
            time.sleep(0.01)
