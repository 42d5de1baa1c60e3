"""What things are called in events: the same thing has the same name in every event, whoever sends it again."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from headrace import __version__
from headrace.model import Settings
from headrace.store.queries.openlineage import LineageAttempt

PRODUCER = f"urn:headrace:{quote(__version__)}"
EVENT = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACET = "https://openlineage.io/spec/facets/{version}/{name}.json#/$defs/{name}"
_RUNS = uuid.UUID("0b8f2bd6-8f0f-5a54-9d0e-6c3a6f8f7a11")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def namespace_of(settings: Settings) -> str:
    """Of jobs and data sets: as declared, else made of the project's name."""
    return settings.openlineage.get("namespace") or f"headrace://{quote(settings.name, safe='')}"


def facet(name: str, version: str, /, **content: Any) -> dict[str, Any]:
    """A facet of the spec."""
    return {"_producer": PRODUCER, "_schemaURL": _FACET.format(version=version, name=name), **content}


def moment(at_us: int) -> str:
    """A time of the store, in UTC."""
    return (_EPOCH + timedelta(microseconds=at_us)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def attempt_id(namespace: str, attempt: LineageAttempt, what: str = "attempt") -> str:
    """The run id of an attempt, or of its audit. Numbers begin anew in a new store, so that its time belongs to it."""
    return str(uuid.uuid5(_RUNS, f"{namespace}\n{what}\n{attempt.epoch}.{attempt.n}\n{attempt.queued_at}"))


def run_id(namespace: str, attempt: LineageAttempt) -> str:
    """The id of the run that an attempt belongs to."""
    return str(uuid.uuid5(_RUNS, f"{namespace}\nrun\n{attempt.run_id}\n{attempt.run_started_at}"))
