"""Sources and exports: finding deliveries, storing their bytes, and reading and writing each format. One file per kind.

Exports values only. `connect.files.observe` runs in the leader; `connect.raw_files.store_raw` and `connect.ingest.prepare` run in workers.
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
