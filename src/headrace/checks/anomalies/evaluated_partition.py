"""A partition whose metrics are compared with those of earlier ones."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headrace.checks.anomalies.explanations import Peer
from headrace.checks.anomalies.row_anomalies import PublishedContent
from headrace.checks.metrics import Metrics

UNSURE = 6.0
"""The strength in nats of evidence that may be due to chance."""
NAMES_TOLD = 3
"""The maximum number of names in a fact's text."""


class EvaluatedPartition(msgspec.Struct, frozen=True):
    """A partition to be evaluated, with its metrics and its context."""

    key: str
    metrics: Metrics
    content_hash: str | None = None
    versions: Sequence[PublishedContent] = ()
    """The published contents of all partitions so far, newest first."""
    sources: int = 20
    """The number of the project's sources; more sources need less probable alarms."""
    peers: Sequence[Peer] = ()
    """Sources of other owners with their numbers of rows."""
    calendar: str = ""
    """The calendar of public holidays (a name from the `holidays` package); empty if unknown."""
    fed: bool = False
    """Whether all inputs of the computation have rows."""
