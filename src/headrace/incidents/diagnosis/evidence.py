"""Evidence as values: what was observed, where and when, and what failures have in common."""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from functools import lru_cache

import msgspec

from headrace.model.causes import CauseKind
from headrace.model.errors import UNRESOLVED

# One observation: where, when, what was expected and what was observed, and how improbable that
# is by chance.


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


# Classes of errors, factors and names of checks that failures and anomalous figures share. A
# detail is part of an incident's fingerprint, so it holds nothing that differs from one day to
# the next.

CUT_OFF = "cut off"
"""Of a file that ends before its end: how many rows are left of it is chance."""
OF_FILES = frozenset({CUT_OFF, "empty file", "too large"})
"""What is wrong with how much of a file there is: what was observed says it."""
NO_WORKER = "no worker starts"
"""Of an outage in which Headrace is there, and nothing can work for it."""
DECLARED_AT = ", as what was published before it was declared would at "
"""What evidence of a check cites that sound deliveries would have failed as well: the file and the line come after it."""
ENVIRONMENT = "environment"
"""The kind of error that is counted against nobody (`scheduler.states`)."""
FAILURES_KEPT = 4_096
"""Each rule asks what a failure is: so many are remembered."""


class FailureCategory(enum.StrEnum):
    """What kind of thing failed, as far as the error says it."""

    DENIED = "denied"
    UNREACHABLE = "unreachable"
    PLACE = "no such place"
    CONFIGURED = "configured"
    UNREADABLE = "unreadable"
    ENVIRONMENT = "not installed"
    """What a body runs in lacks something: a package, a library of the system."""
    MEMORY = "out of memory"
    SPACE = "no space"
    LIMIT = "process limit"
    """Of one process: size of its files, processor time, processes and threads, open files."""
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
_PLACE = re.compile(r"not a directory|no such file or directory|is a directory|read-only file system", re.IGNORECASE)
"""Whatever code is given for it: whether the place or its declaration is to blame is told by whether the declaration was changed."""
_LACKS = re.compile(r"No module named|\b(ModuleNotFound|Import)Error\b|cannot open shared object file|DLL load failed", re.IGNORECASE)
"""Before places: a library that isn't there is told as a file that isn't."""
_DISK = re.compile(
    r"read-only file system|input/output error|stale file handle|host is down|no route to host|network is (down|unreachable)"
    r"|transport endpoint is not connected",
    re.IGNORECASE,
)
_SAID = (
    (FailureCategory.SPACE, re.compile(r"no space left|ENOSPC|disk (is )?full|disk quota", re.IGNORECASE)),
    (
        FailureCategory.MEMORY,
        re.compile(
            r"out of memory|MemoryError|oom[-_ ]?kill|cannot allocate memory|memory limit|std::bad_alloc",
            re.IGNORECASE,
        ),
    ),
    (
        FailureCategory.LIMIT,
        re.compile(
            r"can't start new thread|resource temporarily unavailable|too many open files|(file size|process|processor time) limit"
            r"|file too large$|errno 27\b|SIGXFSZ|SIGXCPU",
            re.IGNORECASE,
        ),
    ),
    (
        FailureCategory.DENIED,
        re.compile(r"\b40[13]\b|permission denied|access denied|forbidden|unauthori[sz]ed|expired token", re.IGNORECASE),
    ),
    (
        FailureCategory.UNREACHABLE,
        re.compile(
            r"connection (refused|reset|aborted)|timed? ?out|name or service not known|could not resolve|unreachable|\b50[0234]\b|"
            r"temporary failure in name resolution|no route to host",
            re.IGNORECASE,
        ),
    ),
    (FailureCategory.VALUES, re.compile(r"conversion error|could not convert|invalid literal for|out of range|cannot cast", re.IGNORECASE)),
    (FailureCategory.NAMES, re.compile(r"referenced column|column .* (not found|does not exist)|KeyError|binder error", re.IGNORECASE)),
)


def failure_of(evidence: Evidence) -> FailureCategory:
    """What kind of failure a piece of evidence tells of: by its code, else by what it says."""
    return failure_said(evidence.detail, evidence.observed)


def says_no_space(said: str) -> bool:
    """Whether an error's words tell of a full disk."""
    return failure_said("", said) is FailureCategory.SPACE


def says_denied(said: str) -> bool:
    """Whether an error's words tell of rights that are missing."""
    return failure_said("", said) is FailureCategory.DENIED


def says_disk(said: str) -> bool:
    """Whether an error's words tell of a disk that can't be used: full, read-only, broken, away, or not
    to be used by whoever runs Headrace."""
    return says_no_space(said) or says_denied(said) or _DISK.search(said) is not None


def needed(said: str) -> str:
    """What somebody has to give, where a disk can't be used and an error says this of it."""
    if says_denied(said):
        return "the right to use it"
    return "room on the disk" if says_no_space(said) else "a disk that can be used"


@lru_cache(FAILURES_KEPT)
def failure_said(code: str, said: str) -> FailureCategory:
    """What kind of failure an error's code and words tell of."""
    if said.startswith(UNRESOLVED):  # before places: a secret's file that isn't there is told as one
        return FailureCategory.CONFIGURED
    if _LACKS.search(said):
        return FailureCategory.ENVIRONMENT
    if _PLACE.search(said):
        return FailureCategory.PLACE
    if code in _CODES:
        return _CODES[code]
    if code.startswith("delivery_"):
        return FailureCategory.UNREADABLE
    return next((failure for failure, like in _SAID if like.search(said)), FailureCategory.OTHER)


def detail_of(kind: CauseKind, own: Sequence[Evidence]) -> str:
    """What of its kind a cause is: the same again has the same."""
    strongest = own[0]
    if kind in _OF_FAILURES:
        return _error(strongest)
    if kind in (CauseKind.SOURCE_UNAVAILABLE, CauseKind.ACCESS_DENIED):
        return strongest.host
    if kind is CauseKind.RUNTIME_DOWN:
        return strongest.detail
    if kind is CauseKind.SCHEMA_CHANGE:
        return ",".join(
            sorted({evidence.detail.partition(";")[0] for evidence in own if evidence.family is Family.SCHEMA and evidence.detail})
        )
    if kind is CauseKind.FORMAT_CHANGE and not any(evidence.column for evidence in own):
        return form_of(strongest)
    checks = sorted({evidence.detail for evidence in own if evidence.family is Family.CHECK and evidence.detail})
    figures = sorted({result for evidence in own if evidence.family is not Family.CHECK and (result := _figure(evidence))})
    return CUT_OFF if CUT_OFF in figures else ",".join(figures or checks)


def form_of(evidence: Evidence) -> str:
    """What is other about the form of a file, or of a column in it, without what differs from one file to the next: line
    numbers, counts and what is quoted."""
    _, _, why = evidence.detail.partition("; ")
    said = (evidence.observed if evidence.column else why or evidence.observed).partition(" (")[0].partition("; ")[0]
    return _COUNTED.sub(r"… \1", _DIFFERS.sub("…", said))[:FORM_MAX]


FORM_MAX = 80
_DIFFERS = re.compile(r"(?<!\w)'.*?'(?!\w)|\"[^\"]*\"|`[^`]*`|\b0x[0-9A-Fa-f]+|(?<![A-Za-z]-)(?<!\w)\d[\d,.]*")
"""Of what is said of a file: what is quoted, and figures; the number in `UTF-16` is a name's."""
_COUNTED = re.compile(r"… (\w+?)s\b")
"""One value or several."""
_OF_FAILURES = (CauseKind.CODE_ERROR, CauseKind.RESOURCE_EXHAUSTED, CauseKind.WORKER_LOST, CauseKind.DESTINATION_UNAVAILABLE)
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


def times_of(own: Sequence[Evidence]) -> float:
    """By how many times there are more rows, or values are larger, than expected, where that is said;
    else 1."""
    matches = [match for evidence in own if (match := _TIMES.search(evidence.detail)) is not None]
    times = [(match.group(1), float(match.group(2).replace(",", ""))) for match in matches]
    return max((1 / many if sign == "÷" and many else many for sign, many in times), default=1.0)


def _figure(evidence: Evidence) -> str:
    """What an odd figure is about, without what differs from day to day: a factor only where it is a unit's."""
    detail = evidence.detail.partition(";")[0]
    if evidence.family is Family.VOLUME:
        times = _TIMES.search(detail)
        return detail.partition(":")[0] if times is None else "more" if float(times.group(2).replace(",", "")) > 1 else "fewer"
    if evidence.family is Family.STALE:
        return "equals" if detail.startswith("equals") else detail
    if evidence.family is not Family.DISTRIBUTION:
        return ""
    times = _TIMES.search(detail)
    if times is None:
        return detail.partition(":")[0]
    return ("x" if times.group(1) == "×" else "1/") + times.group(2) if "?" in detail else "size"
