"""Evidence as values: what was observed, where and when, and what failures have in common."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

import msgspec

from headrace.model.causes import CauseKind
from headrace.model.errors import UNRESOLVED
from headrace.model.texts import hidden, plain

# One observation: where, when, what was expected and what was observed, and how improbable that is
# by chance.


class Family(enum.StrEnum):
    """The kind of an observation.

    A cause declares in which families it has downstream effects (DIAGNOSIS, `effect`).
    """

    ARRIVAL = "arrival"
    """An expected delivery or interval is missing."""
    ACCESS = "access"
    """An observation failed."""
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
    """A declared check failed."""
    ERROR = "error"
    """An attempt failed."""
    RESOURCES = "resources"
    LOST = "lost"
    """A worker died during an attempt."""
    DURATION = "duration"
    CHANGE = "change"
    """A version of code, contract or declaration was applied: no evidence by itself."""
    ACT = "act"
    """A person paused, reported, or didn't approve something."""
    ABSENCE = "absence"
    """Headrace itself was down."""
    EXPORT = "export"
    FILE = "file"
    """A file of the lake is missing or changed since publication."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One observation. Times are microseconds of the store's clock.

    `expected` and `observed` hold names and figures, never values of classified columns.
    """

    id: str
    """The row that it comes from (`fact:12`, `attempt:3.17`).

    So every claim can be traced, and nothing is counted twice.
    """
    node: str
    partition: str = ""
    """Empty: the node as a whole."""
    family: Family
    kind: str = ""
    """The cause that it indicates by itself, as named in INTERFACE: `null_spike`, `access_denied`.

    Empty: a symptom of many causes (a failed check, an error).
    """
    column: str = ""
    expected: str = ""
    observed: str = ""
    strength: float
    """Evidence against chance, in nats. A hold is worth at least 3, an exact test 12."""
    held: bool = True
    """Whether data was held back from readers; False for publications with a warning."""
    at_us: int
    """When it was seen."""
    began_us: int | None = None
    """Since when the problem exists, if that is known to be earlier."""
    detail: str = ""
    error_kind: str = ""
    """For a failure: transient, deterministic, resources, …"""
    host: str = ""
    """For a failed observation or a lost worker: what several share, without credentials.

    It is a host's name or a path's root.
    """
    history: int = 0
    """For a delivery withheld since the source's first observation: its number of intervals.

    0 for everything else.
    """
    same_place: bool = False
    """For a change of a source or consumer: path, schedule, connection and target are unchanged."""
    added: bool = False
    """For a change: the source wasn't declared before."""
    readdressed: bool = False
    """For a change of a source that was read before: its path, server or connection changed."""
    taken_back_us: int | None = None
    """For a change of code: when it was reverted.

    At that time, evidence that the change may have caused was still active.
    """
    proven: bool = False
    """For a change of an asset's code: the new code has computed published partitions."""
    unproven: bool = False
    """For a failed attempt: nothing of its node was ever published, so its code never worked."""
    repeated: bool = False
    """For a warning: the replaced publication has it too, or holds the same rows."""
    alike_since_us: int | None = None
    """For a check's warning: since when each result of the check was like it."""
    let_through: bool = False
    """For a warning: its size would hold the data, and only a declared policy lets it through."""
    corrected: bool = False
    """For a warning: a correct delivery came since, so it was no false alarm."""
    lapsed: str = ""
    """Who accepted it by an exception that has lapsed: readers see the data."""
    accepted: str = ""
    """For a warning: who accepted the data by an exception in force.

    It is no incident by itself, but explains what fails over that data.
    """


# Classes of errors, factors and names of checks that failures and anomalous figures share. A detail
# is part of an incident's fingerprint, so it holds nothing that differs from one day to the next.

CUT_OFF = "cut off"
"""For a truncated file: how many rows are left is chance."""
OF_FILES = frozenset({CUT_OFF, "empty file", "too large"})
"""Details about the size of a file; what was observed says how it is wrong."""
NO_WORKER = "no worker starts"
"""For an outage in which Headrace runs but has no workers."""
DECLARED_AT = ", as what was published before it was declared would at "
"""Prefix of the place of a check that sound deliveries would have failed as well.

The file and the line follow.
"""
ENVIRONMENT = "environment"
"""The kind of error that counts against nobody (`scheduler.states`)."""
FAILURES_KEPT = 4_096
"""Number of cached failure categories, since each rule asks for them."""


class FailureCategory(enum.StrEnum):
    """The category of a failure, as far as its error says."""

    DENIED = "denied"
    UNREACHABLE = "unreachable"
    PLACE = "no such place"
    CONFIGURED = "configured"
    UNREADABLE = "unreadable"
    ENVIRONMENT = "not installed"
    """The environment of asset code lacks a package or a system library."""
    MEMORY = "out of memory"
    SPACE = "no space"
    LIMIT = "process limit"
    """A limit of one process: file size, processor time, processes and threads, open files."""
    VALUES = "values of another type"
    NAMES = "names that aren't there"
    OTHER = "other"


_CODES = {
    "access_denied": FailureCategory.DENIED,
    "source_unavailable": FailureCategory.UNREACHABLE,
    "throttled_too_long": FailureCategory.UNREACHABLE,
    "destination_unavailable": FailureCategory.UNREACHABLE,
    "configuration_error": FailureCategory.CONFIGURED,
    "out_of_memory": FailureCategory.MEMORY,
    "unknown_connection": FailureCategory.CONFIGURED,
    "unknown_column": FailureCategory.NAMES,
    "unknown_input": FailureCategory.NAMES,
    "not_utf8": FailureCategory.UNREADABLE,
    "unreadable_delivery": FailureCategory.UNREADABLE,
    "file_unreadable": FailureCategory.UNREADABLE,
}
_PLACE = re.compile(
    r"not a directory|no such file or directory|is a directory|read-only file system", re.IGNORECASE
)
"""Applies whatever the error's code is.

Whether the place or its declaration is to blame depends on a change of the declaration.
"""
_LACKS = re.compile(
    r"No module named|\b(ModuleNotFound|Import)Error\b|cannot open shared object file|DLL load"
    r" failed",
    re.IGNORECASE,
)
"""Checked before places: a missing library is reported like a missing file."""
_DISK = re.compile(
    r"read-only file system|input/output error|stale file handle|host is down|no route to"
    r" host|network is (down|unreachable)"
    r"|transport endpoint is not connected",
    re.IGNORECASE,
)
_SAID = (
    (
        FailureCategory.SPACE,
        re.compile(r"no space left|ENOSPC|disk (is )?full|disk quota", re.IGNORECASE),
    ),
    (
        FailureCategory.MEMORY,
        re.compile(
            r"out of memory|MemoryError|oom[-_ ]?kill|cannot allocate memory|memory"
            r" limit|std::bad_alloc",
            re.IGNORECASE,
        ),
    ),
    (
        FailureCategory.LIMIT,
        re.compile(
            r"can't start new thread|resource temporarily unavailable|too many open files|(file"
            r" size|process|processor time) limit"
            r"|file too large$|errno 27\b|SIGXFSZ|SIGXCPU",
            re.IGNORECASE,
        ),
    ),
    (
        FailureCategory.DENIED,
        re.compile(
            r"\b40[13]\b|permission denied|access denied|forbidden|unauthori[sz]ed|expired token",
            re.IGNORECASE,
        ),
    ),
    (
        FailureCategory.UNREACHABLE,
        re.compile(
            r"connection (refused|reset|aborted)|timed? ?out|name or service not known|could not"
            r" resolve|unreachable|\b50[0234]\b|"
            r"temporary failure in name resolution|no route to host",
            re.IGNORECASE,
        ),
    ),
    (
        FailureCategory.VALUES,
        re.compile(
            r"conversion error|could not convert|invalid literal for|out of range|cannot cast",
            re.IGNORECASE,
        ),
    ),
    (
        FailureCategory.NAMES,
        re.compile(
            r"referenced column|column .* (not found|does not exist)|KeyError|binder error",
            re.IGNORECASE,
        ),
    ),
)


def failure_of(evidence: Evidence) -> FailureCategory:
    """Return the category of the failure in evidence, by its code, else by its text."""
    return failure_said(evidence.detail, evidence.observed)


def says_no_space(message: str) -> bool:
    """Return whether an error's text is about a full disk."""
    return failure_said("", message) is FailureCategory.SPACE


def says_denied(message: str) -> bool:
    """Return whether an error's text is about missing permissions."""
    return failure_said("", message) is FailureCategory.DENIED


def says_disk(message: str) -> bool:
    """Return whether an error's text is about a disk that Headrace can't use.

    It may be full, read-only, broken, away, or not permitted.
    """
    return says_no_space(message) or says_denied(message) or _DISK.search(message) is not None


def needed(message: str) -> str:
    """Return what a person must provide if an error says that a disk can't be used."""
    if says_denied(message):
        return "the right to use it"
    return "room on the disk" if says_no_space(message) else "a disk that can be used"


@lru_cache(FAILURES_KEPT)
def failure_said(code: str, message: str) -> FailureCategory:
    """Return the category of a failure from its error's code and text."""
    message = plain(message)
    # before places: a missing secret file is reported as a missing place
    if message.startswith(UNRESOLVED):
        return FailureCategory.CONFIGURED
    if _LACKS.search(message):
        return FailureCategory.ENVIRONMENT
    if _PLACE.search(message):
        return FailureCategory.PLACE
    if code in _CODES:
        return _CODES[code]
    if code.startswith("delivery_"):
        return FailureCategory.UNREADABLE
    return next((failure for failure, like in _SAID if like.search(message)), FailureCategory.OTHER)


def detail_of(kind: CauseKind, own_evidence: Sequence[Evidence]) -> str:
    """Return what identifies a cause within its kind; a recurring cause has the same detail."""
    strongest = own_evidence[0]
    if kind in _OF_FAILURES:
        return _error(strongest)
    if kind in (CauseKind.SOURCE_UNAVAILABLE, CauseKind.ACCESS_DENIED):
        return strongest.host
    if kind is CauseKind.RUNTIME_DOWN:
        return strongest.detail
    if kind is CauseKind.SCHEMA_CHANGE:
        details = _details(own_evidence, Family.SCHEMA)
        return ",".join(sorted({detail.partition(";")[0] for detail in details}))
    if kind is CauseKind.FORMAT_CHANGE and not any(evidence.column for evidence in own_evidence):
        return form_of(strongest)
    figures = {_figure(evidence) for evidence in own_evidence} - {""}
    if CUT_OFF in figures:
        return CUT_OFF
    return ",".join(sorted(figures or _details(own_evidence, Family.CHECK)))


def _details(own_evidence: Iterable[Evidence], family: Family) -> set[str]:
    """Return the details of the evidence of a family."""
    seen = (evidence for evidence in own_evidence if evidence.family is family)
    return {evidence.detail for evidence in seen if evidence.detail}


def form_of(evidence: Evidence) -> str:
    """Return what is different about the form of a file or column.

    Line numbers, counts and quoted text are left out, since they differ between files.
    """
    _, _, why = evidence.detail.partition("; ")
    text = (
        hidden(evidence.observed if evidence.column else why or evidence.observed)
        .partition(" (")[0]
        .partition("; ")[0]
    )
    return _COUNTED.sub(r"… \1", _DIFFERS.sub("…", text))[:FORM_MAX]


FORM_MAX = 80
_DIFFERS = re.compile(
    r"(?<!\w)'.*?'(?!\w)|\"[^\"]*\"|`[^`]*`|\b0x[0-9A-Fa-f]+|(?<![A-Za-z]-)(?<!\w)\d[\d,.]*"
)
"""Quoted text and figures; the number in a name such as `UTF-16` isn't one."""
_COUNTED = re.compile(r"… (\w+?)s\b")
"""Matches one value or several."""
_OF_FAILURES = (
    CauseKind.CODE_ERROR,
    CauseKind.RESOURCE_EXHAUSTED,
    CauseKind.WORKER_LOST,
    CauseKind.DESTINATION_UNAVAILABLE,
)
DISK = "disk out of order"
"""The detail of a disk that is read-only, broken or away."""
_ERROR = re.compile(r"\b([A-Z]\w*(?:Error|Exception|Warning))\b")
_TIMES = re.compile(r"([×÷]) ?(\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?)")


def _error(evidence: Evidence) -> str:
    if evidence.family is Family.CHECK:
        return evidence.detail
    failure = failure_of(evidence)
    if evidence.error_kind == ENVIRONMENT and failure is not FailureCategory.SPACE:
        return DISK
    named = _ERROR.search(evidence.observed)
    if failure is not FailureCategory.OTHER:
        return failure.value
    return str(named.group(1)) if named else evidence.detail or evidence.error_kind


def times_of(own_evidence: Sequence[Evidence]) -> float:
    """Return the factor of the number of rows, or of the size of values; 1 if not stated."""
    matches = [
        match for evidence in own_evidence if (match := _TIMES.search(evidence.detail)) is not None
    ]
    times = [(match.group(1), float(match.group(2).replace(",", ""))) for match in matches]
    return max((1 / many if sign == "÷" and many else many for sign, many in times), default=1.0)


def _figure(evidence: Evidence) -> str:
    """Return what an anomalous figure is about, without what differs from day to day.

    A factor is included only if it is that of a unit. Empty for evidence that isn't about a figure,
    such as a failed check.
    """
    detail = evidence.detail.partition(";")[0]
    if evidence.family is Family.VOLUME:
        times = _TIMES.search(detail)
        return (
            detail.partition(":")[0]
            if times is None
            else "more"
            if float(times.group(2).replace(",", "")) > 1
            else "fewer"
        )
    if evidence.family is Family.STALE:
        return "equals" if detail.startswith("equals") else detail
    if evidence.family is not Family.DISTRIBUTION:
        return ""
    times = _TIMES.search(detail)
    if times is None:
        return detail.partition(":")[0]
    return ("x" if times.group(1) == "×" else "1/") + times.group(2) if "?" in detail else "size"
