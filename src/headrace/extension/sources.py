"""What sources and connections of other packages use besides their base classes.

    from headrace.extension.sources import Access, DetectedDelivery, SourceKind

Nothing here imports DuckDB, or a library of a network.
"""

from headrace.connect.connection_kinds import ConnectionKind, resolved_kind
from headrace.connect.connectors import Access, Fetched, SourceKind, Unavailable
from headrace.connect.deliveries import (
    CannotRead,
    DetectedDelivery,
    Observation,
    printable,
)
from headrace.model.connections import CONNECTION_SCHEMES, DATABASES
from headrace.model.errors import message_of, shown
from headrace.model.fields import Fields
from headrace.model.intervals import day_start_us, from_us, interval_of
from headrace.model.nodes import Grain, PartitionSpec
from headrace.model.partitions import WHOLE
from headrace.model.plugin_fields import SourceField
from headrace.security.secrets import Secrets

__all__ = [
    "CONNECTION_SCHEMES",
    "DATABASES",
    "WHOLE",
    "Access",
    "CannotRead",
    "ConnectionKind",
    "DetectedDelivery",
    "Fetched",
    "Fields",
    "Grain",
    "Observation",
    "PartitionSpec",
    "Secrets",
    "SourceField",
    "SourceKind",
    "Unavailable",
    "day_start_us",
    "from_us",
    "interval_of",
    "message_of",
    "printable",
    "resolved_kind",
    "shown",
]
