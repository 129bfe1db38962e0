import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-proto';
import { send } from './otlp_logs.mjs';

// Behind a text of protobuf any byte may stand, a digit too: so the mark ends by itself.
await send(OTLPLogExporter, ';');
