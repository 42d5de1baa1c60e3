"""Sources and exports: finding deliveries, storing their bytes, reading and writing each format.

There is one file per kind. The package itself exports only value types. `connect.files.observe`
runs in the leader; `connect.raw_files.store_raw` and `connect.ingest.prepare` run in workers.
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
