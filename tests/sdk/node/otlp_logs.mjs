// What both drivers of OpenTelemetry's logs send; they differ in their exporter.

import { SeverityNumber } from '@opentelemetry/api-logs';
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs';
import { BASE, KEY, all } from './common.mjs';

/** Sends everything by an exporter of this class; `end` stands behind each mark. */
export async function send(Exporter, end = '') {
  const exporter = new Exporter({ url: `${BASE}/v1/logs`, headers: { authorization: `Bearer ${KEY}` } });
  const processor = new BatchLogRecordProcessor({
    exporter, scheduledDelayMillis: 100, maxExportBatchSize: 40, maxQueueSize: 4000, exportTimeoutMillis: 60_000,
  });
  const provider = new LoggerProvider({ processors: [processor] });
  const logger = provider.getLogger('shop');
  await all({
    onOrder: (mark) =>
      logger.emit({
        eventName: 'purchase', attributes: { 'user.id': 'u1', amount: 59.97, currency: 'EUR', mark: mark + end },
      }),
    onError: (mark) =>
      logger.emit({
        severityNumber: SeverityNumber.ERROR, severityText: 'ERROR', body: 'card declined',
        attributes: { 'exception.type': 'CardError', 'exception.message': 'card declined', mark: mark + end },
      }),
  });
  await provider.forceFlush().catch(() => {});
  await provider.shutdown().catch(() => {});
}
