"""FHIR: resources of health records in JSON, as lines (NDJSON) or in bundles.

A row is a resource, a value, a reference, or a resource of one type. Numbers keep their digits, and
dates their precision: `1.10` and `2020-05` are text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import count
from pathlib import Path
from typing import IO, Any, NamedTuple

from headrace.extension import marked
from headrace.extension.formats import (
    CannotRead,
    Disagrees,
    Fields,
    PartitionSpec,
    printable,
    shown,
)
from headrace_legacy.strict_json import no_number, unique
from headrace_legacy.text_lines import KindsOfRows

RESOURCES, VALUES, REFERENCES = "resources", "values", "references"
OBSERVATIONS = "observations"
RESOURCE_CHARACTERS_MAX = 1 << 26
CHECKED, UNCHECKED = "checked", "unchecked"
TEXT, COUNT, FLAG = "VARCHAR", "BIGINT", "BOOLEAN"
_CHUNK_CHARACTERS = 1 << 18
_SPACE = re.compile(r"[ \t\r\n]*")
_PATH = re.compile(r"[A-Za-z_]\w*(?:\[[A-Za-z]\w*=[^\[\]]+\])?")
_TYPE = re.compile(r"[A-Z][A-Za-z]{1,63}")
_TARGET = re.compile(r"(?:[^?]*/)?([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:/_history/.*)?")
_TOTAL = re.compile(r"[0-9]{1,18}")
_COUNT_ALONE = re.compile(r".*[?&](?:_summary=count|_count=0)(?:[&#].*)?")
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_KEY = ("id", "resourceType", "meta.versionId")
_INNER = ("contained", "entry", "parameter")
"""Members of a resource that may have other ones inside."""
_COUNTED = ("searchset", "history")
"""Types of bundles whose `total` counts entries."""
_HEAD = {"resource": COUNT, "container": COUNT, "type": TEXT, "id": TEXT}


def _paths(text: str) -> dict[str, str]:
    """Return column → paths of `column = path | path` lines."""
    lines = (line.split("=", 1) for line in text.strip().splitlines())
    return {name.strip(): paths.strip() for name, paths in lines}


_TYPED = {
    "patients": (
        "Patient",
        _paths("""
            identifier = identifier.value
            identifier_system = identifier.system
            family = name.family
            given = name.given
            gender = gender
            born = birthDate
            died = deceasedDateTime | deceasedBoolean
            active = active
            street = address.line
            city = address.city
            state = address.state
            postal_code = address.postalCode
            country = address.country
        """),
    ),
    "encounters": (
        "Encounter",
        _paths("""
            status = status
            class = class.code | class.coding.code
            code = type.coding.code
            code_text = type.coding.display | type.text
            subject = subject.reference
            started = period.start | actualPeriod.start
            ended = period.end | actualPeriod.end
            provider = serviceProvider.reference
        """),
    ),
    "conditions": (
        "Condition",
        _paths("""
            status = clinicalStatus.coding.code
            verification = verificationStatus.coding.code
            code = code.coding.code
            code_system = code.coding.system
            code_text = code.coding.display | code.text
            subject = subject.reference
            encounter = encounter.reference
            onset = onsetDateTime | onsetPeriod.start | onsetString
            abatement = abatementDateTime | abatementPeriod.end | abatementString
            recorded = recordedDate
        """),
    ),
    OBSERVATIONS: (
        "Observation",
        _paths("""
            status = status
            category = category.coding.code
            subject = subject.reference
            encounter = encounter.reference
            effective = effectiveDateTime | effectiveInstant | effectivePeriod.start
            issued = issued
        """),
    ),
    "procedures": (
        "Procedure",
        _paths("""
            status = status
            code = code.coding.code
            code_system = code.coding.system
            code_text = code.coding.display | code.text
            subject = subject.reference
            encounter = encounter.reference
            started = performedDateTime | performedPeriod.start | occurrenceDateTime
            ended = performedPeriod.end | occurrencePeriod.end
        """),
    ),
    "medication_requests": (
        "MedicationRequest",
        _paths("""
            status = status
            intent = intent
            code = medicationCodeableConcept.coding.code | medication.concept.coding.code
            code_text = medicationCodeableConcept.coding.display | medicationCodeableConcept.text
            medication = medicationReference.reference | medication.reference.reference
            subject = subject.reference
            encounter = encounter.reference
            authored = authoredOn
            requester = requester.reference
            dosage = dosageInstruction.text
        """),
    ),
}
_OBSERVED = _paths("""
    code = code.coding.code
    code_system = code.coding.system
    code_text = code.coding.display | code.text
    comparator = valueQuantity.comparator | valueRatio.numerator.comparator
    unit = valueQuantity.unit | valueRange.low.unit | valueRange.high.unit
    unit_code = valueQuantity.code | valueRange.low.code | valueRange.high.code
    value_system = valueQuantity.system | valueCodeableConcept.coding.system
    value_text = valueCodeableConcept.coding.display | valueCodeableConcept.text
    absent = dataAbsentReason.coding.code
    interpretation = interpretation.coding.code
    low = referenceRange.low.value
    high = referenceRange.high.value
""")
"""What an observation has, and each of its components."""
_PLAIN_VALUES = {
    "Quantity": "value",
    "CodeableConcept": "coding.code",
    "SampledData": "data",
    "Attachment": "url",
    "Reference": "reference",
}
"""Types of values that are objects → the path of what `value` has."""
_PAIRS = {
    "Range": ("low.value", "-", "high.value"),
    "Period": ("start", "/", "end"),
    "Ratio": ("numerator.value", ":", "denominator.value"),
}
"""Types of values that are two → their paths, and what is written between them."""
COLUMNS = {
    RESOURCES: {
        **_HEAD,
        "version": TEXT,
        "updated": TEXT,
        "bundle": COUNT,
        "full_url": TEXT,
        "mode": TEXT,
        "method": TEXT,
        "url": TEXT,
        "json": TEXT,
    },
    VALUES: {**_HEAD, "path": TEXT, "kind": TEXT, "value": TEXT},
    REFERENCES: {
        **_HEAD,
        "path": TEXT,
        "reference": TEXT,
        "target_type": TEXT,
        "target_id": TEXT,
        "display": TEXT,
    },
    **{kind: {**_HEAD, **dict.fromkeys(columns, TEXT)} for kind, (_, columns) in _TYPED.items()},
}
COLUMNS[OBSERVATIONS] |= {
    "component": COUNT,
    "value_type": TEXT,
    "value": TEXT,
    **dict.fromkeys(_OBSERVED, TEXT),
}


class Number(str):
    """A number as it is written."""

    __slots__ = ()


class Fhir(KindsOfRows):
    """Resources of FHIR, in lines of JSON or in bundles."""

    name = "fhir"
    meaning = "which rows of resources of FHIR are read"
    endings = ()
    fields = (*KindsOfRows.fields, "type", "columns", "total")
    kinds_of_rows = COLUMNS
    line_bytes_max = 1 << 62

    def read(self, fields: Fields, partition: PartitionSpec) -> dict[str, Any] | None:
        """Validate `total`, and `type` with `columns`, which lead to values."""
        fields.choice("total", (CHECKED, UNCHECKED), CHECKED)
        kind = fields.text("type")
        if kind is not None and not _TYPE.fullmatch(kind):
            fields.refuse("type", "it isn't a type of resources", "write type: Claim")
        if (kind is None) != ("columns" not in fields) or (kind and "rows" in fields):
            fields.refuse(
                "type" if kind else "columns",
                "rows of one type need `type` and `columns`, and no `rows`",
                "write type: Claim, columns: {amount: total.value}",
                code="conflicting_fields",
            )
        _require_paths(fields)
        return super().read(fields, partition)

    def columns(self, options: Mapping[str, Any]) -> Mapping[str, str]:
        """Return the columns of the rows that are read."""
        if "type" in options:
            return {**_HEAD, **dict.fromkeys(options.get("columns") or {}, TEXT)}
        return super().columns(options)

    def records(self, path: Path, options: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of one kind; the totals of all bundles are checked."""
        kind = self._read_kind(options)
        wanted, columns = _TYPED.get(kind, ("", {}))
        if "type" in options:
            kind, wanted, columns = "", options["type"], options.get("columns") or {}
        totals = _Totals()
        for resource in _resources(path, totals):
            if wanted and resource.type != wanted:
                continue
            try:
                yield from _rows(resource, kind, columns)
            except RecursionError as error:
                raise CannotRead(f"resource {resource.number:,}: nested too deeply") from error
        problem = totals.problem or totals.inner_problem
        if options.get("total", CHECKED) == CHECKED and problem is not None:
            raise problem


def _rows(resource: Resource, kind: str, columns: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    match kind:
        case "resources":
            yield from resource.rows()
        case "values":
            yield from resource.values()
        case "references":
            yield from resource.references()
        case "observations":
            yield from resource.observations(columns)
        case _:
            yield {**resource.head, **_values_at(resource.body, columns)}


def _require_paths(fields: Fields) -> None:
    declared: dict[str, Any] = fields.block_of("columns") or {}
    for name, paths in declared.items():
        if str(name).lower() in _HEAD:
            fields.refuse("columns", f"each row has {shown(name)} already", "choose another name")
        elif not isinstance(paths, str) or not all(map(_is_path, paths.split("|"))):
            fields.refuse(
                "columns",
                f"{shown(name)} has no path",
                "write columns: {amount: total.value, code: 'code.coding[system=a].code'}",
            )


class Resource(NamedTuple):
    """A resource with its place in the file."""

    number: int
    container: int | None
    body: Mapping[str, Any]
    entry: Mapping[str, Any]
    """The bundle's entry with it; empty outside of bundles."""
    bundle: int | None

    @property
    def type(self) -> str | None:
        """Its type; None for an entry without a resource."""
        return self.body.get("resourceType")

    @property
    def head(self) -> dict[str, Any]:
        """The columns of all rows."""
        return {
            "resource": str(self.number),
            "container": None if self.container is None else str(self.container),
            "type": self.type,
            "id": _plain(self.body.get("id")),
        }

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the resource itself."""
        yield {
            **self.head,
            "version": _first(self.body, "meta.versionId"),
            "updated": _first(self.body, "meta.lastUpdated"),
            "bundle": None if self.bundle is None else str(self.bundle),
            "full_url": _first(self.entry, "fullUrl"),
            "mode": _first(self.entry, "search.mode"),
            "method": _first(self.entry, "request.method"),
            "url": _first(self.entry, "request.url"),
            "json": _written(self.body) if self.body else None,
        }

    def values(self) -> Iterator[dict[str, Any]]:
        """Yield each value with its path. Resources inside are rows of their own."""
        head = self.head
        for path, value in _leaves(self.body, ""):
            kind = {bool: "boolean", Number: "number"}.get(type(value), "text")
            yield {**head, "path": path, "kind": kind, "value": _plain(value)}

    def references(self) -> Iterator[dict[str, Any]]:
        """Yield each reference to a resource."""
        head = self.head
        for path, value in _leaves(self.body, "", objects=True):
            if not isinstance(value, dict) or type(value.get("reference")) is not str:
                continue
            target = _TARGET.fullmatch(value["reference"])
            yield {
                **head,
                "path": path,
                "reference": value["reference"],
                "target_type": target[1] if target else _first(value, "type"),
                "target_id": target[2] if target else None,
                "display": _first(value, "display"),
            }

    def observations(self, columns: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """Yield an observation, then its components."""
        shared = {**self.head, **_values_at(self.body, columns)}
        components = self.body.get("component")
        parts = [self.body, *(components if isinstance(components, list) else [])]
        for number, part in enumerate(parts):
            if isinstance(part, dict):
                yield {
                    **shared,
                    "component": str(number) if number else None,
                    **_observed(part),
                }


def _observed(part: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the columns of an observation or component, its value[x] as plainly as can be."""
    name = next((name for name in part if name.startswith("value") and part[name] is not None), "")
    kind, value = name.removeprefix("value"), part.get(name)
    chosen: dict[str, Any] = {}
    if isinstance(value, dict) and kind in _PAIRS:
        first, between, second = _PAIRS[kind]
        value = (_first(value, first) or "") + between + (_first(value, second) or "")
    elif isinstance(value, dict) and kind in _PLAIN_VALUES:
        value = _first(part, f"{name}.{_PLAIN_VALUES[kind]}", chosen)
    return {
        "value_type": kind or None,
        "value": _plain(value),
        **_values_at(part, _OBSERVED, chosen),
    }


# Values in a resource.


def _is_path(text: str) -> bool:
    return all(_PATH.fullmatch(step) for step in _steps(text.strip()))


@cache
def _steps(path: str) -> list[str]:
    """Return the steps of a path: dots in the brackets of a step don't end it."""
    return re.split(r"\.(?![^\[]*\])", path)


def _values_at(
    body: Mapping[str, Any], columns: Mapping[str, str], chosen: dict[str, Any] | None = None
) -> dict[str, str | None]:
    """Return the columns. Those that lead through one list are all of one of its items."""
    chosen = {} if chosen is None else chosen
    return {name: _first(body, paths, chosen) for name, paths in columns.items()}


def _first(body: Any, paths: str, chosen: dict[str, Any] | None = None) -> str | None:
    """Return the first value that one of the paths leads to."""
    chosen = {} if chosen is None else chosen
    for path in paths.split("|"):
        value = _reached(body, _steps(path.strip()), chosen)
        if value is not None:
            return _plain(value)
    return None


def _reached(value: Any, steps: list[str], chosen: dict[str, Any], path: str = "") -> Any:
    """Return the first value that the steps lead to.

    The items of lists that lead there are added to `chosen`, by their paths.
    """
    if isinstance(value, list):
        for item in [chosen[path]] if path in chosen else value:
            if (inside := _reached(item, steps, chosen, f"{path}[]")) is not None:
                chosen[path] = item
                return inside
    elif not steps:
        return value
    elif isinstance(value, dict):
        return _reached(_chosen(value, steps[0]), steps[1:], chosen, f"{path}.{steps[0]}")
    return None


def _chosen(value: Mapping[str, Any], step: str) -> list[Any]:
    """Return the items of a member that have what the step's brackets say."""
    name, _, condition = step.removesuffix("]").partition("[")
    key, _, wanted = condition.partition("=")
    member = value.get(name)
    items = member if isinstance(member, list) else [member]
    if not condition:
        return items
    return [item for item in items if isinstance(item, dict) and _plain(item.get(key)) == wanted]


def _leaves(value: Any, path: str, *, objects: bool = False) -> Iterator[tuple[str, Any]]:
    """Yield the values with their paths; with `objects`, the objects instead."""
    if _is_inner(value, path):
        return
    if isinstance(value, dict):
        if objects:
            yield path, value
        for name, item in value.items():
            yield from _leaves(item, f"{path}.{name}" if path else name, objects=objects)
    elif isinstance(value, list):
        for number, item in enumerate(value, 1):
            yield from _leaves(item, f"{path}[{number}]", objects=objects)
    elif value is not None and not objects:
        yield path, value


def _is_inner(value: Any, path: str) -> bool:
    return isinstance(value, dict) and "resourceType" in value and path.startswith(_INNER)


def _plain(value: Any) -> str | None:
    """Return a value as text, and objects as JSON."""
    if isinstance(value, str):
        return str(value)
    return None if value is None else _written(value)


def _written(value: Any) -> str:
    """Return JSON with the numbers as they were written."""
    match value:
        case Number():
            return str(value)
        case dict():
            pairs = (f"{json.dumps(k, ensure_ascii=False)}:{_written(v)}" for k, v in value.items())
            return "{" + ",".join(pairs) + "}"
        case list():
            return "[" + ",".join(map(_written, value)) + "]"
        case _:
            return json.dumps(value, ensure_ascii=False)


# Resources of a file.


@dataclass
class _Totals:
    """Compares the totals of bundles with their entries. Pages that follow each other add up."""

    problem: Disagrees | None = None
    """The first contradiction; until its last page, a bundle has fewer entries than it states."""
    is_open: bool = False
    """Whether another page is to follow, which may solve the problem."""
    matches: int = 0
    pages: set[int] = field(default_factory=set)
    """What tells apart the entries of the pages of one search."""
    total: str | None = None
    inner_problem: Disagrees | None = None
    """The same of a bundle inside of another resource."""

    def add(self, number: int, bundle: _Entries, line: int) -> None:
        """Take a bundle that ends in this line."""
        links, total = bundle.links, bundle.total(line)
        if total is None:
            return
        follows = bool(links.keys() & {"previous", "prev"})
        follows = follows or (self.is_open and self.total == total)
        if not follows:
            self.matches, self.pages = 0, set()
        self.matches, self.total = self.matches + bundle.matches, total
        is_repeated = bundle.sign in self.pages
        if bundle.sign is not None:
            self.pages.add(bundle.sign)
        if self.problem is not None and not (self.is_open and follows):
            return
        self.is_open = "next" in links and not is_repeated
        why = ""
        if is_repeated:
            why = "has the entries of an earlier page"
        elif int(total) != self.matches:
            why = (
                f"states the total {marked(total)}, and has {marked(self.matches)} entries that"
                " match; if the file is one page of several: fhir: {total: unchecked}"
            )
        where = f"line {line:,}: bundle {number:,}"
        self.problem = Disagrees(f"{where} {why}", line=line) if why else None

    def add_inner(self, number: int, bundle: _Entries, line: int) -> None:
        """Take a bundle inside of another resource, which is no page of those around it."""
        totals = _Totals()
        totals.add(number, bundle, line)
        self.inner_problem = self.inner_problem or totals.problem


def _resources(path: Path, totals: _Totals) -> Iterator[Resource]:
    """Yield the resources of a file, and those that they contain."""
    bundles = count(1)
    with path.open(encoding="utf-8-sig", newline="") as file:
        document = _Document(file)
        inside = _Inside(document, totals, bundles)
        while document.sign():
            line = document.line
            reading = _Outermost(document)
            try:
                bundle = None
                for entry in reading.entries():
                    bundle = bundle or next(bundles)
                    yield from inside.resources(entry.get("resource"), entry, bundle)
            except RecursionError as error:
                raise document.refused("nested too deeply") from error
            kind = reading.rest.get("resourceType")
            if not isinstance(kind, str):
                raise CannotRead(f"line {line:,}: an object without resourceType", line=line)
            if kind == "Bundle":
                totals.add(bundle or next(bundles), reading, document.line)
            else:
                yield from inside.resources(reading.rest, {}, None)


@dataclass
class _Inside:
    """Yields resources with those that they have inside."""

    document: _Document
    totals: _Totals
    bundles: Iterator[int]
    numbers: Iterator[int] = field(default_factory=partial(count, 1))

    def resources(
        self, body: Any, entry: Mapping[str, Any], bundle: int | None, container: int | None = None
    ) -> Iterator[Resource]:
        """Yield a resource, then those inside of it."""
        if not isinstance(body, dict):
            body = {}
        kind = body.get("resourceType")
        if isinstance(kind, Number) or not isinstance(kind, str | None):
            raise self.document.refused("a resourceType isn't text")
        number = next(self.numbers)
        yield Resource(number, container, body, entry, bundle)
        if kind == "Bundle":
            bundle = next(self.bundles)
            inner = _Entries(self.document, body)
            for item in inner.listed():
                inner.take(item)
            self.totals.add_inner(bundle, inner, self.document.line)
        for name in _INNER:
            for inner_body, around in _inner(body.get(name), {}):
                yield from self.resources(inner_body, around, bundle, number)


def _inner(
    value: Any, around: Mapping[str, Any]
) -> Iterator[tuple[dict[str, Any], Mapping[str, Any]]]:
    """Yield the outermost resources of a value, each with the object that has it."""
    if isinstance(value, list):
        for item in value:
            yield from _inner(item, around)
    elif isinstance(value, dict):
        if "resourceType" in value:
            yield value, around
            return
        for item in value.values():
            yield from _inner(item, value)


class _Entries:
    """The entries of a bundle, and what they are counted and told apart by."""

    def __init__(self, document: _Document, rest: dict[str, Any]) -> None:
        self._document = document
        self.rest = rest
        """What it has besides the entries."""
        self.matches = 0
        """The entries that a search or history counts."""
        self.sign: int | None = None
        """What tells the entries of a search from those of others, if they have ids."""

    def listed(self) -> list[Any]:
        """Return the entries that were read with the rest."""
        entries = self.rest.get("entry") or []
        if not isinstance(entries, list):
            raise self._document.refused("`entry` is no list")
        return entries

    def take(self, entry: Any) -> dict[str, Any]:
        """Return an entry that is valid, and count it."""
        if not isinstance(entry, dict) or not entry.keys() & {"resource", "request", "response"}:
            raise self._document.refused("an entry of a bundle has no resource")
        if _first(entry, "search.mode") in (None, "match"):
            key = _first(entry, "fullUrl"), *(_first(entry, f"resource.{name}") for name in _KEY)
            if not self.matches or self.sign is not None:
                self.sign = hash((self.sign, key)) if any(key[:2]) else None
            self.matches += 1
        return entry

    def total(self, line: int) -> str | None:
        """Return the number of matches that a search or history states, and has entries for."""
        total = self.rest.get("total")
        if self.rest.get("type") not in _COUNTED or total is None:
            return None
        if _COUNT_ALONE.fullmatch(self.links.get("self") or ""):
            return None
        if not isinstance(total, Number) or not _TOTAL.fullmatch(total):
            raise CannotRead(
                f"line {line:,}: {marked(printable(total, 40))} is no total", line=line
            )
        return total

    @property
    def links(self) -> dict[str | None, str | None]:
        """Relation → URL of its links."""
        links = self.rest.get("link")
        items = links if isinstance(links, list) else []
        return {_first(link, "relation"): _first(link, "url") for link in items}


class _Outermost(_Entries):
    """An outermost object, whose entries are read one by one if it is a bundle."""

    def __init__(self, document: _Document) -> None:
        super().__init__(document, {})

    def entries(self) -> Iterator[dict[str, Any]]:
        """Yield the entries, and read all the rest."""
        for name in self._document.names():
            if name in self.rest:
                raise self._document.refused(f"`{printable(name, 40)}` is there twice")
            if name == "entry" and self._is_bundle:
                self.rest[name] = []
                yield from map(self.take, self._document.items())
            else:
                self.rest[name] = self._document.value()
        if self._is_bundle:
            yield from map(self.take, self.listed())

    @property
    def _is_bundle(self) -> bool:
        return self.rest.get("resourceType") == "Bundle"


class _Document:
    """JSON that is read in pieces: objects one after another."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._text, self._at = "", 0
        self.line = 1
        self._decoder = json.JSONDecoder(
            parse_float=Number,
            parse_int=Number,
            parse_constant=no_number,
            object_pairs_hook=unique,
        )

    def refused(self, why: str) -> CannotRead:
        """Return the error of the place that is read."""
        return CannotRead(f"line {self.line:,}: {why}", line=self.line)

    def sign(self) -> str:
        """Return the next character that isn't blank; empty at the end of the file."""
        while True:
            match = _SPACE.match(self._text, self._at)
            self._pass(match.end() if match else self._at)
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def names(self) -> Iterator[str]:
        """Yield the keys of an object; the reader of each takes its value."""
        self._take("{")
        if self.sign() == "}":
            self._take("}")
            return
        while True:
            key = self.value()
            if not isinstance(key, str) or isinstance(key, Number):
                raise self.refused("a key of an object isn't text")
            self._take(":")
            yield key
            if self.sign() == "}":
                self._take("}")
                return
            self._take(",")

    def items(self) -> Iterator[Any]:
        """Yield the items of an array."""
        self._take("[")
        if self.sign() == "]":
            self._take("]")
            return
        while True:
            yield self.value()
            if self.sign() == "]":
                self._take("]")
                return
            self._take(",")

    def value(self) -> Any:
        """Return the next value."""
        self.sign()
        while True:
            start = self._at
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if not self._more():
                    self._pass(error.pos - start)
                    raise self._broken(error) from error
                continue
            except ValueError as error:
                raise self.refused(printable(error, 120)) from error
            # a number may go on behind what has been read
            if end < len(self._text) or not self._more():
                self._require_text(value, start, end)
                self._pass(end)
                return value

    def _require_text(self, value: Any, start: int, end: int) -> None:
        """Refuse half of a character that is written as two."""
        if _HALF.search(self._text, start, end):
            try:
                _written(value).encode()
            except UnicodeEncodeError as error:
                raise self.refused("half of a character: \\ud800 to \\udfff alone") from error

    def _take(self, sign: str) -> None:
        following = self.sign()
        if following != sign:
            if not following:
                raise self._broken(None)
            raise self.refused(f"{sign} expected, not {marked(printable(following))}")
        self._pass(self._at + 1)

    def _broken(self, error: json.JSONDecodeError | None) -> CannotRead:
        """Return the error of text that is no JSON. At its end, the file is cut off."""
        if error is None or self._at >= len(self._text.rstrip()) or "Unterminated" in error.msg:
            return CannotRead(
                f"line {self.line:,}: the file is cut off: it ends inside of a resource",
                line=self.line,
                code="delivery_truncated",
            )
        return self.refused(f"it isn't JSON: {error.msg}")

    def _pass(self, to: int) -> None:
        self.line += self._text.count("\n", self._at, to)
        self._at = to

    def _more(self) -> bool:
        """Read as much as is there already, at least a chunk; False at the end of the file."""
        rest = self._text[self._at :]
        if len(rest) > RESOURCE_CHARACTERS_MAX:
            raise self.refused(f"a resource has more than {RESOURCE_CHARACTERS_MAX:,} characters")
        more = self._file.read(max(_CHUNK_CHARACTERS, len(rest)))
        self._text, self._at = rest + more, 0
        return bool(more)
