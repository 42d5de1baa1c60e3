"""What was seen, as values: where, when, what was expected and what was observed, and how unlikely that is by chance."""

from __future__ import annotations

import enum

import msgspec


class Family(enum.StrEnum):
    """What kind of observation it is. A cause says in which families it shows itself downstream (DIAGNOSIS, `effect`)."""

    ARRIVAL = "arrival"
    """Something that was expected isn't there."""
    ACCESS = "access"
    """A look failed."""
    SCHEMA = "schema"
    FORMAT = "format"
    TYPE = "type"
    STALE = "stale"
    RESTATED = "restated"
    DUPLICATES = "duplicates"
    VOLUME = "volume"
    NULLS = "nulls"
    DISTRIBUTION = "distribution"
    REFERENCE = "reference"
    CHECK = "check"
    """A check of a person's failed."""
    ERROR = "error"
    """An attempt failed."""
    RESOURCES = "resources"
    LOST = "lost"
    """A worker ended while it worked."""
    DURATION = "duration"
    CHANGE = "change"
    """Another version of code, contract or declaration was applied: evidence only together with something else."""
    ACT = "act"
    """Somebody paused, withheld an approval, reported."""
    ABSENCE = "absence"
    """Headrace itself wasn't there."""
    EXPORT = "export"
    FILE = "file"
    """A file of the lake isn't there as it was published."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One observation. Times are microseconds of the store's clock. `expected` and `observed` hold names and figures, never values of
    classified columns."""

    id: str
    """Which row it is of (`fact:12`, `attempt:3.17`): every claim can be opened down to it, and the same is never counted twice."""
    node: str
    partition: str = ""
    """Empty: of the node as a whole."""
    family: Family
    kind: str = ""
    """The cause that it speaks for by itself, in INTERFACE's words, where it does: `null_spike`, `access_denied`. Empty: a symptom of
    many causes (a failed check, an error)."""
    column: str = ""
    expected: str = ""
    observed: str = ""
    strength: float
    """In nats: what it would cost to put it down to chance. A hold is worth at least 3, an exact test 12."""
    held: bool = True
    """Whether it kept something from readers; False for what was published with a warning."""
    at_us: int
    """When it was seen."""
    began_us: int | None = None
    """Since when it was so, where that is known to be earlier than it was seen."""
    detail: str = ""
    error_kind: str = ""
    """Of a failure: transient, deterministic, resources, …"""
    host: str = ""
    """Of a failed look or a lost worker: what several have in common (a host's name, a path's root), never with credentials."""
    history: int = 0
    """Of a held or rejected delivery that the source's first observation found: how many intervals
    that observation found. 0 for everything else."""
    same_place: bool = False
    """Of a change of a source or a consumer: path, schedule, connection and target are as they were."""
    added: bool = False
    """Of a change: the source wasn't declared before."""
    readdressed: bool = False
    """Of a change of a source that had been read before: its path, server or connection is another."""
    taken_back_us: int | None = None
    """Of a change of code: when the code that was there before was put back, while something that the
    change may have caused was still there."""
    proven: bool = False
    """Of a change of an asset's code: the changed code has computed partitions that were published."""
    unproven: bool = False
    """Of a failed attempt: nothing of its node was ever published, so that its code never worked."""
    repeated: bool = False
    """Of a warning: the publication that was replaced has it too, or holds the same rows."""
    corrected: bool = False
    """Of a warning: the right delivery has come since, which shows that it was no false alarm."""
    lapsed: str = ""
    """Who had accepted it as an exception that has lapsed: readers see what it is about."""
