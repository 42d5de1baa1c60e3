"""Links the declarations of all files into one project and validates their references.

`headrace.plan` validates the names inside SQL.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import msgspec

from headrace.model.access import AccessRules
from headrace.model.checks import partition_of
from headrace.model.connectors import completed, misused
from headrace.model.contract_checks import asset_by_contract, source_by_contract
from headrace.model.errors import Problem, ProblemLevel, UsageError, did_you_mean, shown
from headrace.model.export_problems import export_problems
from headrace.model.hour_names import hour_name_problems
from headrace.model.intervals import GRAINS, parse_key
from headrace.model.link_problems import (
    access_problems,
    policy_problems,
    problems_of_tests,
    rebuildable_problems,
    retention_problems,
    scheduling_problems,
)
from headrace.model.masks import key_problems
from headrace.model.nodes import (
    Asset,
    Calendar,
    Consumer,
    Contract,
    Grain,
    InputMode,
    InputSpec,
    Owner,
    Place,
    Project,
    Settings,
    Source,
    SqlBody,
)
from headrace.model.parsing import Declared
from headrace.model.secrets import is_address
from headrace.model.settings import PRODUCTION, in_environment, of_environment
from headrace.model.times import known_by_name

# Cycles in a graph of names.


def find_cycles(edges: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Return the cycles found by a depth-first search, each as a closed path: `[a, b, a]`.

    `edges` maps a name to the names that it waits for; names without an entry wait for nothing.
    Each cycle begins with its smallest name, so that results are reproducible. There is no
    recursion: chains of 10,000 names are no problem.
    """
    done: set[str] = set()
    results: list[list[str]] = []
    for start in edges:
        if start not in done:
            _walk(start, edges, done, results)
    return results


def _walk(
    start: str, edges: Mapping[str, Iterable[str]], done: set[str], results: list[list[str]]
) -> None:
    path, position = [start], {start: 0}
    waiting = [iter(edges.get(start, ()))]
    while waiting:
        name = next(waiting[-1], None)
        if name is None:
            waiting.pop()
            finished = path.pop()
            del position[finished]
            done.add(finished)
        elif name in position:
            results.append(_from_smallest(path[position[name] :]))
        elif name not in done:
            path.append(name)
            position[name] = len(path) - 1
            waiting.append(iter(edges.get(name, ())))


def _from_smallest(cycle: list[str]) -> list[str]:
    first = cycle.index(min(cycle))
    return [*cycle[first:], *cycle[:first], cycle[first]]


Node = Source | Asset | Consumer
AnyNode = TypeVar("AnyNode", Source, Asset, Consumer)
Named = TypeVar("Named", Owner, Contract, Calendar)
SUGGESTIONS_MAX = 200
"""Unknown names that get a `did you mean`; it is slow, as each is compared with all known names."""


def link(
    declared: Sequence[Declared], environment: str = PRODUCTION
) -> tuple[Project | None, list[Problem]]:
    """Return the project in an environment, and the problems of all files and of their references.

    The problems are sorted by file and line. The project contains all valid declarations, so that
    later stages can report problems too, but it must not be used if there is an error. It is None
    if the project has no settings. Raises UsageError for an unknown environment.
    """
    problems = [problem for item in declared for problem in item.problems]
    settings = next((item.settings for item in declared if item.settings is not None), None)
    if settings is None:
        return None, sorted(problems, key=lambda problem: problem.order)
    project = _Linker(declared, of_environment(settings, environment), problems).link()
    return in_environment(project), sorted(problems, key=lambda problem: problem.order)


class _Linker:
    """Links one project. Names of nodes are case-insensitive, as in DuckDB."""

    def __init__(
        self, declared: Sequence[Declared], settings: Settings, problems: list[Problem]
    ) -> None:
        self._declared = declared
        self._settings = settings
        self._problems = problems
        self._suggestions = 0
        self._nodes: dict[str, Node] = {}
        self._claims: dict[str, Source] = {}

    def link(self) -> Project:
        declared = self._declared
        self._owners = self._unique((owner for item in declared for owner in item.owners), "owner")
        self._contracts = self._unique(
            (contract for item in declared for contract in item.contracts), "contract"
        )
        self._calendars = self._unique(
            (calendar for item in declared for calendar in item.calendars), "calendar"
        )
        sources = self._unique_names(source for item in declared for source in item.sources)
        assets = self._unique_names(self._with_bodies())
        consumers = self._unique_names(consumer for item in declared for consumer in item.consumers)
        for owner in self._owners.values():
            self._check_owner(owner)
        project = Project(
            settings=self._settings,
            owners=self._owners,
            access=self._access(),
            sources={source.name: self._source(source) for source in sources},
            assets={asset.name: self._asset(asset) for asset in assets},
            consumers={consumer.name: self._consumer(consumer) for consumer in consumers},
            contracts=self._contracts,
            calendars=self._calendars,
            macros={path: text for item in declared for path, text in item.macros.items()},
            tests=tuple(test for item in declared for test in item.tests),
        )
        self._check_references(project)
        if project.access is not None:
            self._problems += access_problems(project)
        self._problems += policy_problems(project)
        return project

    def _access(self) -> AccessRules | None:
        """Return the rules of `access.yaml`; None without the file."""
        return next((item.access for item in self._declared if item.access is not None), None)

    def _error(
        self,
        code: str,
        place: Place,
        message: str,
        hint: str,
        level: ProblemLevel = ProblemLevel.ERROR,
    ) -> None:
        self._problems.append(
            Problem(code=code, message=message, hint=hint, place=place, level=level)
        )

    def _suggest(self, name: str, known: Collection[str], otherwise: str) -> str:
        self._suggestions += 1
        result = did_you_mean(name, known) if self._suggestions <= SUGGESTIONS_MAX else ""
        return result or otherwise

    def _unique(self, items: Iterable[Named], what: str) -> dict[str, Named]:
        results: dict[str, Named] = {}
        lowered: dict[str, Named] = {}
        for item in items:
            first = lowered.setdefault(item.name.lower(), item)
            if first is item:
                results[item.name] = item
            else:
                self._twice(item.name, item.place, first.place, what)
        return results

    def _twice(self, name: str, place: Place, first: Place, what: str) -> None:
        message = (
            f"the {what} {shown(name)} is declared twice (first in {first.file}, line {first.line})"
        )
        self._error(
            "duplicate_name", place, message, "names are compared ignoring case; rename one of them"
        )

    def _unique_names(self, nodes: Iterable[AnyNode]) -> list[AnyNode]:
        """Return the nodes with unique names, and report the others.

        Sources, assets and consumers share one namespace.
        """
        result = []
        for node in nodes:
            first = self._nodes.setdefault(node.name.lower(), node)
            if first is node:
                result.append(node)
            else:
                self._twice(node.name, node.place, first.place, "node")
        return result

    def _report_no_body(self, asset: Asset, file: str) -> None:
        if not self._has_problems(file):
            self._error(
                "no_body",
                asset.place,
                f"{shown(asset.name)} has no `command`, and there is no {file}",
                "add command: […], or the SQL file",
            )

    def _with_bodies(self) -> Iterable[Asset]:  # complexipy: ignore (a case per pair of files)
        """Yield all assets, with YAML front matters joined to `.sql` files of the same name."""
        statements = {item.sql.file: item.sql for item in self._declared if item.sql is not None}
        assets = [asset for item in self._declared for asset in item.assets]
        written = set(_front_matters(assets))
        for asset in assets:
            if not isinstance(asset.body, SqlBody) or asset.body.text:
                yield asset
            elif asset.body.file in written:
                self._error(
                    "two_front_matters",
                    asset.place,
                    f"{asset.body.file} has a front matter of its own",
                    "keep one of the two",
                )
            elif asset.body.file in statements:
                yield msgspec.structs.replace(asset, body=statements.pop(asset.body.file))
            else:
                self._report_no_body(asset, asset.body.file)
        for statement in statements.values():
            if not self._has_problems(statement.file.removesuffix(".sql") + ".yaml"):
                self._error(
                    "no_front_matter",
                    Place(file=statement.file),
                    "this file has no front matter, so nobody owns it",
                    "begin it with /* headrace, `owner: …`, */",
                )

    def _has_problems(self, path: str) -> bool:
        return any(problem.place.file == path for problem in self._problems)

    # -- nodes

    def _source(self, source: Source) -> Source:
        self._check_node(source)
        timezone = source.timezone or self._settings.timezone
        start = self._start(source, timezone)
        connection = source.connector.get("connection")
        if isinstance(connection, str) and connection not in self._settings.connections:
            hint = self._suggest(
                connection,
                self._settings.connections,
                f"add [connections.{connection}] to headrace.toml",
            )
            self._error(
                "unknown_connection",
                source.place.of("connection"),
                f"unknown connection {shown(connection)}",
                hint,
            )
        elif isinstance(connection, str) and (
            why := misused(source, self._settings.connections[connection])
        ):
            self._error(
                "wrong_value",
                source.place,
                why,
                f"{shown(source.name)} reads from the connection {shown(connection)}",
            )
        if (
            source.files is not None
            and "://" in source.files
            and (source.complete.files > 1 or source.complete.marker)
        ):
            what = "marker" if source.complete.marker else "files"
            message = (
                f"`complete: {{{what}: …}}` of {shown(source.name)}: it is only supported for files"
                " of the project"
            )
            hint = (
                "have one file written for each interval, or download the files into landing/ first"
            )
            self._error("unsupported_kind", source.place, message, hint)
        contract = self._contract(source)
        self._check_claim(source, contract)
        result = msgspec.structs.replace(source, timezone=timezone, start=start, contract=contract)
        return completed(source_by_contract(result, self._contracts.get(contract or "")))

    def _asset(self, asset: Asset) -> Asset:
        self._check_node(asset)
        timezone = asset.timezone or self._settings.timezone
        start = self._start(asset, timezone)
        inputs = tuple(
            input_spec
            for spec in asset.inputs
            if (input_spec := self._input(asset, spec)) is not None
        )
        depends = tuple(
            known
            for name in asset.depends
            if (known := self._known(name, asset, asset.place, "depends")) is not None
        )
        contract = self._contract(asset)
        partition = partition_of(asset)
        linked = msgspec.structs.replace(
            asset,
            timezone=timezone,
            start=start,
            inputs=inputs,
            depends=depends,
            contract=contract,
            partition=partition,
        )
        return asset_by_contract(linked, self._contracts.get(contract or ""))

    def _consumer(self, consumer: Consumer) -> Consumer:
        self._check_node(consumer)
        timezone = consumer.timezone or self._settings.timezone
        reads = tuple(
            result
            for name in consumer.reads
            if (result := self._known(name, consumer, consumer.place, "reads")) is not None
        )
        per = self._grain_of_age(reads) if consumer.max_age is not None else None
        if per is None or GRAINS.index(per) < GRAINS.index(consumer.per):
            per = consumer.per
        return msgspec.structs.replace(consumer, timezone=timezone, reads=reads, per=per)

    def _grain_of_age(self, reads: Iterable[str]) -> Grain | None:
        """Return the finest grain of what is read: data isn't older between its intervals.

        None if something isn't partitioned by time.
        """
        nodes = [self._nodes[name] for name in reads]
        grains = [
            node.partition.grain if isinstance(node, Source | Asset) else None for node in nodes
        ]
        known = [grain for grain in grains if grain is not None]
        return min(known, key=GRAINS.index) if known and len(known) == len(grains) else None

    def _check_node(self, node: Node) -> None:
        if node.owner not in self._owners:
            hint = self._suggest(node.owner, self._owners, f"add {node.owner} to owners.yaml")
            self._error(
                "unknown_owner",
                node.place.of("owner"),
                f"unknown owner {shown(node.owner)} of {shown(node.name)}",
                hint,
            )
        if node.calendar is not None and node.calendar not in self._calendars:
            self._check_calendar(node, node.calendar)

    def _check_calendar(self, node: Node, calendar: str) -> None:
        if known_by_name(calendar):
            return
        hint = self._suggest(
            calendar,
            self._calendars,
            "add calendars/NAME.yaml with a list of dates, or name a market or country: NYSE, US",
        )
        self._error(
            "unknown_calendar",
            node.place.of("calendar"),
            f"unknown calendar {shown(calendar)} of {shown(node.name)}",
            hint,
        )

    def _start(self, node: Source | Asset, timezone: str) -> str | None:
        """Return `start` as a partition key in canonical form; report it if invalid."""
        start = node.start
        if start is None:
            return None
        if node.partition.grain is None:
            self._error(
                "wrong_value",
                node.place,
                f"{shown(node.name)} has a `start`, and isn't partitioned by time",
                "add `partition: day`, or take `start` out",
            )
            return start
        try:
            return parse_key(start, node.partition.grain, timezone)
        except UsageError as error:
            self._error(
                "wrong_value", node.place, f"`start` of {shown(node.name)}: {error}", error.hint
            )
            return start

    def _contract(self, node: Source | Asset) -> str | None:
        """Return the contract that a node names, or the one with the node's name."""
        if node.contract is None:
            return node.name if node.name in self._contracts else None
        if node.contract not in self._contracts:
            if any(
                problem.place.file == f"contracts/{node.contract}.odcs.yaml"
                for problem in self._problems
            ):
                return None  # its file is invalid, which is already reported
            hint = self._suggest(
                node.contract, self._contracts, f"add contracts/{node.contract}.odcs.yaml"
            )
            self._error(
                "unknown_contract",
                node.place.of("contract"),
                f"unknown contract {shown(node.contract)} of {shown(node.name)}",
                hint,
            )
            return None
        return node.contract

    def _check_claim(self, source: Source, contract: str | None) -> None:
        """Report a contract of several sources.

        A contract contains the accepted column names of one source's files, which must not change
        how the files of another source are read.
        """
        first = self._claims.setdefault(contract, source) if contract is not None else source
        if first is not source:
            message = (
                f"the contract {shown(str(contract))} of {shown(source.name)} is that of"
                f" {shown(first.name)} already"
            )
            hint = f"give {source.name} a contract of its own: contracts/{source.name}.odcs.yaml"
            self._error("contract_claimed_twice", source.place, message, hint)

    def _check_owner(self, owner: Owner) -> None:
        if owner.manager is not None and owner.manager not in self._owners:
            hint = self._suggest(owner.manager, self._owners, f"add {owner.manager} to owners.yaml")
            self._error(
                "unknown_owner",
                owner.place,
                f"unknown manager {shown(owner.manager)} of {shown(owner.name)}",
                hint,
            )
        for contact in owner.contact:
            if not is_address(contact) and contact not in self._settings.notify:
                name = contact.rpartition(":")[2].lstrip("#") or "team"
                otherwise = (
                    f"write mailto:{contact}"
                    if "@" in contact
                    else f"add [notify.{name}] to headrace.toml and write {name}, or write mailto:…"
                )
                hint = self._suggest(contact, self._settings.notify, otherwise)
                self._error(
                    "unknown_contact",
                    owner.place,
                    f"unknown contact {shown(contact)} of {shown(owner.name)}",
                    hint,
                    ProblemLevel.WARNING,
                )

    # -- names of other nodes

    def _input(self, asset: Asset, spec: InputSpec) -> InputSpec | None:
        name = self._known(spec.node, asset, spec.place, "inputs")
        if name is None or name == spec.node:
            return spec if name is not None else None
        return msgspec.structs.replace(spec, node=name)

    def _known(self, name: str, node: Asset | Consumer, place: Place, field: str) -> str | None:
        """Return the declared spelling of a source's or asset's name; report unknown names."""
        result = self._nodes.get(name.lower())
        if result is not None and not isinstance(result, Consumer):
            return result.name
        if result is not None:
            self._error(
                "unknown_node",
                place.of(field),
                f"{shown(name)} in `{field}` of {shown(node.name)} is a consumer",
                "name sources and assets",
            )
            return None
        known = (
            [other.name for other in self._nodes.values() if not isinstance(other, Consumer)]
            if self._suggestions < SUGGESTIONS_MAX
            else []
        )
        hint = self._suggest(name, known, "`headrace ls` shows the nodes that there are")
        what = "asset" if isinstance(node, Consumer) else "node"
        self._error(
            "unknown_node",
            place.of(field),
            f"unknown {what} {shown(name)} in `{field}` of {shown(node.name)}",
            hint,
        )
        return None

    def _check_references(self, project: Project) -> None:
        for test in project.tests:
            if test.asset not in project.assets:
                hint = self._suggest(test.asset, project.assets, "name one of the assets")
                self._error(
                    "unknown_node",
                    test.place,
                    f"unknown asset {shown(test.asset)} in the test {shown(test.name)}",
                    hint,
                )
        self._problems.extend(problems_of_tests(project))
        self._problems.extend(export_problems(project))
        self._problems.extend(hour_name_problems(project))
        self._problems.extend(key_problems(project))
        self._problems.extend(scheduling_problems(project))
        self._problems.extend(retention_problems(project))
        self._problems.extend(rebuildable_problems(project))
        for asset in project.assets.values():
            self._check_former_name(asset, project)
        for cycle in find_cycles(
            {asset.name: _waits_for(asset) for asset in project.assets.values()}
        ):
            place = project.assets[cycle[0]].place
            self._error(
                "cycle",
                place,
                f"these assets wait for each other: {' → '.join(cycle)}",
                "take one of the arrows out",
            )

    def _check_former_name(self, asset: Asset, project: Project) -> None:
        """Report a `renamed_from` that is still declared, or that several assets have."""
        if asset.renamed_from is None:
            return
        former = asset.renamed_from.lower()
        others = [
            other.name
            for other in project.assets.values()
            if other is not asset and (other.renamed_from or "").lower() == former
        ]
        if former in self._nodes:
            message = (
                f"{shown(asset.name)} is `renamed_from: {asset.renamed_from}`, which is declared"
                " still"
            )
            self._error(
                "conflicting_fields",
                asset.place,
                message,
                "take the old declaration out, or `renamed_from`",
            )
        elif others:
            message = (
                f"{shown(asset.name)} and {shown(others[0])} are both `renamed_from:"
                f" {asset.renamed_from}`"
            )
            self._error(
                "conflicting_fields",
                asset.place,
                message,
                "keep one of them: a table goes on under one name",
            )


def _waits_for(asset: Asset) -> list[str]:
    """Return the nodes that must be complete for the same interval.

    Inputs in mode `previous` are left out: they belong to an earlier interval, so they can't form a
    cycle.
    """
    upstream = (asset.trigger or {}).get("upstream")
    fires = [upstream] if isinstance(upstream, str) else []
    return [
        *(spec.node for spec in asset.inputs if spec.mode is not InputMode.PREVIOUS),
        *asset.depends,
        *fires,
    ]


def _front_matters(assets: Iterable[Asset]) -> Iterator[str]:
    """Yield the SQL files that hold both the declaration and the query."""
    for asset in assets:
        if isinstance(asset.body, SqlBody) and asset.body.text:
            yield asset.body.file
