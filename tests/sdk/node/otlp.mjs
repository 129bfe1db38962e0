import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-http';
import { send } from './otlp_logs.mjs';

await send(OTLPLogExporter);
