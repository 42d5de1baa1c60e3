"""Sources and sinks: looks for deliveries, keeps their bytes, and says how to read them. One file a kind.

Exports values only; `connect.files.look` runs in the leader, `connect.keep.keep` and `connect.ingest.prepare` in workers.
"""

from headrace.connect.deliveries import (
    BadColumn,
    DeliveryPart,
    DetectedDelivery,
    Drift,
    Format,
    Note,
    Observation,
    Settling,
    SourceSchema,
    TypeDrift,
    UnreadableFile,
)

__all__ = [
    "BadColumn",
    "DeliveryPart",
    "DetectedDelivery",
    "Drift",
    "Format",
    "Note",
    "Observation",
    "Settling",
    "SourceSchema",
    "TypeDrift",
    "UnreadableFile",
]
