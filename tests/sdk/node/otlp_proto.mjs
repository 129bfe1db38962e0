import { SeverityNumber } from '@opentelemetry/api-logs';
import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-proto';
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs';
import { BASE, KEY, all } from './common.mjs';

const exporter = new OTLPLogExporter({ url: `${BASE}/v1/logs`, headers: { authorization: `Bearer ${KEY}` } });
const processor = new BatchLogRecordProcessor({
  exporter, scheduledDelayMillis: 100, maxExportBatchSize: 40, maxQueueSize: 4000, exportTimeoutMillis: 60_000,
});
const provider = new LoggerProvider({ processors: [processor] });
const logger = provider.getLogger('shop');
// Behind a text of protobuf any byte may stand, a digit too: so the mark ends by itself.
await all({
  onOrder: (mark) =>
    logger.emit({ eventName: 'purchase', attributes: { 'user.id': 'u1', amount: 59.97, currency: 'EUR', mark: `${mark};` } }),
  onError: (mark) =>
    logger.emit({
      severityNumber: SeverityNumber.ERROR, severityText: 'ERROR', body: 'card declined',
      attributes: { 'exception.type': 'CardError', 'exception.message': 'card declined', mark: `${mark};` },
    }),
});
await provider.forceFlush().catch(() => {});
await provider.shutdown().catch(() => {});
