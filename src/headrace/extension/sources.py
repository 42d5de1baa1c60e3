"""What sources and connections of other packages use besides their base classes.

    from headrace.extension.sources import Access, DetectedDelivery, SourceKind

Nothing here imports DuckDB, or a library of a network.
"""

from headrace.connect.connection_kinds import ConnectionKind, resolved_kind
from headrace.connect.connectors import (
    AWAY_SECONDS_MAX,
    PAGES_SECONDS_MAX,
    Access,
    Fetched,
    SourceKind,
    Unavailable,
    unusable,
)
from headrace.connect.deliveries import (
    DELIVERY_BYTES_MAX,
    CannotRead,
    DetectedDelivery,
    Note,
    Observation,
    printable,
)
from headrace.connect.raw_files import ChangedWhileRead
from headrace.model.connections import CONNECTION_SCHEMES, DATABASES
from headrace.model.connectors import json_path
from headrace.model.errors import message_of, shown, words_of
from headrace.model.fields import Fields, kind_of, size_in_bytes
from headrace.model.intervals import Interval, day_start_us, from_us, interval_of
from headrace.model.locations import directives_of, names_interval
from headrace.model.nodes import Grain, PartitionSpec
from headrace.model.partitions import WHOLE
from headrace.model.plugin_fields import SourceField
from headrace.model.secrets import check_headers, check_url
from headrace.model.times import parse_duration
from headrace.security.secrets import Secrets

__all__ = [
    "AWAY_SECONDS_MAX",
    "CONNECTION_SCHEMES",
    "DATABASES",
    "DELIVERY_BYTES_MAX",
    "PAGES_SECONDS_MAX",
    "WHOLE",
    "Access",
    "CannotRead",
    "ChangedWhileRead",
    "ConnectionKind",
    "DetectedDelivery",
    "Fetched",
    "Fields",
    "Grain",
    "Interval",
    "Note",
    "Observation",
    "PartitionSpec",
    "Secrets",
    "SourceField",
    "SourceKind",
    "Unavailable",
    "check_headers",
    "check_url",
    "day_start_us",
    "directives_of",
    "from_us",
    "interval_of",
    "json_path",
    "kind_of",
    "message_of",
    "names_interval",
    "parse_duration",
    "printable",
    "resolved_kind",
    "shown",
    "size_in_bytes",
    "unusable",
    "words_of",
]
