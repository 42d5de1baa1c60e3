"""Sources and sinks: looks for deliveries, and reads them. One file a kind."""

from headrace.connect.deliveries import Drift, Format, Found, SourceSchema

__all__ = ["Drift", "Format", "Found", "SourceSchema"]
