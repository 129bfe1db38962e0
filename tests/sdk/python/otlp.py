import logging

from common import BASE, KEY, everything
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

# It says in its own log what it gives up.
logging.disable(logging.CRITICAL)
exporter = OTLPLogExporter(endpoint=BASE + "/v1/logs", headers={"Authorization": f"Bearer {KEY}"})
provider = LoggerProvider()
provider.add_log_record_processor(
    BatchLogRecordProcessor(exporter, schedule_delay_millis=100, max_export_batch_size=40, max_queue_size=4000)
)
logger = provider.get_logger("shop")


# Behind a text of protobuf any byte may stand, a digit too: so the mark ends by itself.
def order(kind, mark):
    attributes = {"event.name": kind, "user.id": "u1", "amount": 59.97, "currency": "EUR", "mark": mark + ";"}
    logger.emit(LogRecord(attributes=attributes))


def error(mark):
    attributes = {"exception.type": "CardError", "exception.message": "card declined", "mark": mark + ";"}
    logger.emit(LogRecord(severity_number=SeverityNumber.ERROR, body="card declined", attributes=attributes))


everything(
    on_order=lambda mark: order("purchase", mark),
    on_refund=lambda mark: order("refund", mark),
    on_error=error,
)
provider.shutdown()
