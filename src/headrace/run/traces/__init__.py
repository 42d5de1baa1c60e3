"""OpenTelemetry traces of runs and attempts, where a collector is named (extra `otel`)."""
