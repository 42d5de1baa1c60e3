"""The pages that list: overview, catalogue, consumers, incidents, domains, owners, changes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from headrace.extension import AvailabilityRow, ConsumerRow, IncidentRow, counted
from headrace_docs.markup import Html, anchor, bdi, joined, link, tag
from headrace_docs.responses.description import (
    AppliedChange,
    DescribedConsumer,
    DescribedNode,
)
from headrace_docs.site.frame import (
    Frame,
    Page,
    domain_address,
    facts,
    listed,
    prose,
    row,
    state,
    table,
    when,
)
from headrace_docs.site.lineage_picture import Box, lineage_picture
from headrace_docs.site.node_pages import incident_link

FIRST = 20
"""Lines of a list that another page has whole, and names or files in one line."""
LISTED_MAX = 100
"""Lines of a list on the page of a domain."""
NONE_DOMAIN = "no domain"


def overview(frame: Frame) -> Page:
    """Return the first page."""
    described = frame.described
    kinds = Counter(node.kind == "source" for node in described.nodes)
    counts = [
        counted(kinds[True], "source"),
        counted(kinds[False], "asset"),
        counted(len(described.consumers), "consumer"),
        counted(len(described.owners), "owner"),
    ]
    waiting = [each for each in described.incidents if each.state != "resolved"]
    domain_lines = [_domain_line(name, nodes, "") for name, nodes in _domains(described.nodes)]
    return frame.page(
        "index.html",
        described.project,
        prose(described.headline),
        tag("p", ", ".join(counts), class_="soft"),
        tag("h2", "Open incidents"),
        _list_or([incident_link(each, "") for each in waiting[:FIRST]], "None is open."),
        _rest(waiting, FIRST),
        tag("h2", "Consumers that aren't served, or are at risk"),
        _unserved(frame),
        tag("h2", "Domains"),
        _list_or(domain_lines, "Nothing is declared yet."),
        part="index.html",
    )


def _unserved(frame: Frame) -> Html:
    consumers = frame.described.consumers
    rows = [each for each in consumers if each.standing.state != "served"]
    if not rows:
        return tag("p", "None. All are served." if consumers else "There are no consumers.")
    first = _consumer_table([_consumer_row(frame, each, "") for each in rows[:FIRST]])
    return joined([first, _rest(rows, FIRST)])


def _list_or(items: Sequence[Html], none: str) -> Html:
    """Return a list, or a sentence if it is empty."""
    return listed(items) if items else tag("p", none)


# The catalogue, and domains, which list parts of it


def catalogue(frame: Frame) -> Iterator[Page]:
    """Yield the pages that list all sources and assets by name."""
    rows = [_node_row(frame, node, "") for node in frame.described.nodes]
    yield from frame.paged("catalogue.html", "Catalogue", rows, _node_table)


def _node_table(rows: Sequence[Html]) -> Html:
    if not rows:
        return tag("p", "There are no sources and no assets.")
    heads = ("name", "kind", "state", "owner", "domain", "newest", "what it is")
    return table("Sources and assets", heads, rows)


def _node_row(frame: Frame, node: DescribedNode, up: str) -> Html:
    first = node.description.partition("\n")[0]
    return row(
        frame.node_link(node.name, up),
        node.kind,
        state(node.state),
        link(f"{up}owners.html#{anchor('owner', node.owner)}", node.owner),
        node.domain and link(up + domain_address(node.domain), node.domain),
        node.newest,
        tag("span", first if len(first) <= 120 else f"{first[:119]}…", dir="auto"),
    )


def _domains(nodes: Iterable[DescribedNode]) -> list[tuple[str, list[DescribedNode]]]:
    groups: dict[str, list[DescribedNode]] = defaultdict(list)
    for node in nodes:
        groups[node.domain or ""].append(node)
    return sorted(groups.items())


def _domain_line(name: str, nodes: Sequence[DescribedNode], up: str) -> Html:
    title = link(up + domain_address(name), name or NONE_DOMAIN)
    return joined([title, tag("span", f" {counted(len(nodes), 'node')}", class_="soft")])


def domains(frame: Frame) -> Iterator[Page]:
    """Yield the list of domains, and the pages of each: its nodes, consumers and interfaces."""
    described = frame.described
    groups = _domains(described.nodes)
    lines = [_domain_line(name, nodes, "") for name, nodes in groups]
    lists = _list_or(lines, "There are no domains.")
    yield frame.page("domains.html", "Domains", lists, part="domains.html")
    of_node = {node.name: node.domain or "" for node in described.nodes}
    of_node |= {consumer.name: consumer.domain or "" for consumer in described.consumers}
    for name, nodes in groups:
        yield from _domain_pages(frame, name, nodes, of_node)


def _domain_pages(
    frame: Frame, name: str, nodes: Sequence[DescribedNode], of_node: dict[str, str]
) -> Iterator[Page]:
    consumers = [each for each in frame.described.consumers if (each.domain or "") == name]
    outside = list(_read_outside(frame, name, nodes, of_node))
    yield from frame.paged(
        domain_address(name),
        name or NONE_DOMAIN,
        [_node_row(frame, node, "../") for node in nodes],
        _node_table,
        facts(("owners", _owner_links(nodes))),
        tag("h2", "Read by other domains"),
        _list_or(outside[:LISTED_MAX], "Nothing of it is."),
        _rest(outside, LISTED_MAX),
        tag("h2", "Consumers"),
        _consumer_table([_consumer_row(frame, each, "../") for each in consumers[:LISTED_MAX]]),
        _rest(consumers, LISTED_MAX),
        tag("h2", "Sources and assets"),
        part="domains.html",
    )


def _read_outside(
    frame: Frame, domain: str, nodes: Sequence[DescribedNode], of_node: dict[str, str]
) -> Iterator[Html]:
    for node in nodes:
        others = _others(frame, node, domain, of_node)
        if others:
            yield joined([frame.node_link(node.name, "../"), " is read by ", others])


def _others(frame: Frame, node: DescribedNode, domain: str, of_node: dict[str, str]) -> Html:
    readers = [edge.node for edge in node.read_by if of_node.get(edge.node, domain) != domain]
    return _first([frame.node_link(name, "../") for name in readers])


def _owner_links(nodes: Iterable[DescribedNode]) -> Html:
    names = sorted({node.owner for node in nodes})
    return joined((link(f"../owners.html#{anchor('owner', name)}", name) for name in names), ", ")


def _rest(items: Sequence[object], most: int) -> Html | None:
    """Return how many more there are than are listed."""
    more = len(items) - most
    return tag("p", f"and {more:,} more", class_="soft") if more > 0 else None


def _first(items: Sequence[Html]) -> Html:
    """Return the first items in one line, and how many more there are."""
    more = len(items) - FIRST
    return joined([*items[:FIRST], *([f"{more:,} more"] if more > 0 else [])], ", ")


# Consumers


def consumers(frame: Frame) -> Iterator[Page]:
    """Yield the list of consumers, and a page of each."""
    described = frame.described
    rows = [_consumer_row(frame, each, "") for each in described.consumers]
    about = tag("p", f"Promises are those that fell due within {described.window}.", class_="soft")
    yield from frame.paged("consumers.html", "Consumers", rows, _consumer_table, about)
    kinds = {node.name: node.kind for node in described.nodes}
    by_id = {incident.id: incident for incident in described.incidents}
    for each in described.consumers:
        yield _consumer_page(frame, each, kinds, by_id)


def _consumer_table(rows: Sequence[Html]) -> Html:
    if not rows:
        return tag("p", "There are no consumers.")
    heads = ("consumer", "state", "promised", "kept", "available", "claimed", "owner")
    return table("Consumers", heads, rows)


def _consumer_row(frame: Frame, consumer: DescribedConsumer, up: str) -> Html:
    stands = consumer.standing
    past = stands.availability
    return row(
        frame.node_link(consumer.name, up),
        state(stands.state),
        stands.needs,
        promises_kept(past),
        _percent(None if past is None else past.honest),
        _percent(None if past is None else past.claimed),
        link(f"{up}owners.html#{anchor('owner', stands.owner)}", stands.owner),
    )


def promises_kept(past: AvailabilityRow | None) -> str:
    """Return how many promises were kept, in words."""
    if past is None or past.promised == 0:
        return "nothing was due yet"
    return f"{past.kept:,} of {past.promised:,}"


def _percent(share: str | None) -> str | None:
    return None if share is None else f"{share} %"


def _consumer_page(
    frame: Frame,
    consumer: DescribedConsumer,
    kinds: dict[str, str],
    by_id: dict[str, IncidentRow],
) -> Page:
    stands, past = consumer.standing, consumer.standing.availability
    named = [*(past.incidents if past is not None else ()), stands.incident]
    known = [by_id[label] for label in dict.fromkeys(named) if label in by_id]
    reads = [
        joined([frame.node_link(read.asset, "../"), " ", state(read.state)])
        for read in stands.reads
    ]
    boxes = [
        Box(read.asset, "source" if kinds.get(read.asset) == "source" else "asset")
        for read in stands.reads
    ]
    return frame.page(
        f"consumers/{consumer.name}.html",
        consumer.name,
        prose(consumer.description),
        facts(*_standing(stands), *_declared(consumer)),
        tag("h2", "Reads"),
        lineage_picture(Box(consumer.name, "consumer"), boxes, []),
        listed(reads),
        tag("h2", "Incidents"),
        _list_or([incident_link(incident, "../") for incident in known], "None is known."),
        part="consumers.html",
    )


def _standing(stands: ConsumerRow) -> Iterator[tuple[str, object]]:
    past = stands.availability
    yield "state", joined([state(stands.state), " ", tag("span", stands.reason, dir="auto")])
    yield "since", when(stands.since)
    yield "promised", stands.needs
    yield "promises kept", promises_kept(past)
    if past is not None:
        yield "available", past.text
        yield "said at the time", _percent(past.claimed)
    yield "data through", stands.data_through
    if stands.export is not None:
        yield "exported to", bdi(stands.export.target)


def _declared(consumer: DescribedConsumer) -> Iterator[tuple[str, object]]:
    owner = consumer.standing.owner
    yield "importance", consumer.importance
    yield "owner", link(f"../owners.html#{anchor('owner', owner)}", owner)
    if consumer.domain is not None:
        yield "domain", link(f"../{domain_address(consumer.domain)}", consumer.domain)
    yield "tags", joined((bdi(name) for name in consumer.tags), ", ")
    yield "declared in", consumer.place


# Incidents, owners and the change log


def incidents(frame: Frame) -> Iterator[Page]:
    """Yield the incidents that are known, newest first."""
    rows = [_incident(frame, each) for each in frame.described.incidents]
    yield from frame.paged("incidents.html", "Incidents", rows, _incident_list)


def _incident_list(rows: Sequence[Html]) -> Html:
    return joined(rows) if rows else tag("p", "None is known.")


def _incident(frame: Frame, incident: IncidentRow) -> Html:
    cause = incident.cause
    node = frame.node_link(cause.node) if cause.node in frame.names else bdi(cause.node)
    return tag(
        "section",
        tag("h2", incident.id, id=incident.id),
        tag("p", state(incident.state), " ", tag("span", cause.summary, dir="auto")),
        facts(
            ("cause at", node),
            ("began", when(incident.began_at)),
            ("known", when(incident.opened_at)),
            ("restored", when(incident.restored_at)),
            ("owner", bdi(incident.owner)),
            ("assets", _first([*map(bdi, incident.affected.assets)])),
            ("consumers", _first([*map(bdi, incident.affected.consumers)])),
            ("ended", incident.ended),
        ),
    )


def owners(frame: Frame) -> Iterator[Page]:
    """Yield the owners, with how they are reached and what they answer for."""
    described = frame.described
    owned: dict[str, list[str]] = defaultdict(list)
    for name, owner in (
        *((node.name, node.owner) for node in described.nodes),
        *((each.name, each.standing.owner) for each in described.consumers),
    ):
        owned[owner].append(name)
    rows = [
        tag(
            "section",
            tag("h2", bdi(each.owner), id=anchor("owner", each.owner)),
            facts(
                ("kind", each.kind),
                ("contact", joined(map(bdi, each.contact), ", ")),
                ("manager", each.manager and bdi(each.manager)),
                ("answers for", _owned(frame, owned.get(each.owner, []))),
            ),
        )
        for each in described.owners
    ]
    yield from frame.paged("owners.html", "Owners", rows, _owner_list)


def _owner_list(rows: Sequence[Html]) -> Html:
    return joined(rows) if rows else tag("p", "There are no owners.")


def _owned(frame: Frame, names: Sequence[str]) -> Html:
    return _first([*map(frame.node_link, names)]) if names else tag("span", "nothing")


def changes(frame: Frame) -> Iterator[Page]:
    """Yield the applied versions, newest first."""
    versions = frame.described.changes
    if versions is None:
        sentence = "The applied versions are for readers who see the whole project."
        yield frame.page("changes.html", "Changes", tag("p", sentence), part="changes.html")
        return
    rows = [_change(each) for each in versions]
    yield from frame.paged("changes.html", "Changes", rows, _change_list)


def _change_list(rows: Sequence[Html]) -> Html:
    if not rows:
        return tag("p", "Nothing was applied yet.")
    heads = ("version", "applied", "by", "plan", "files")
    return table("Applied versions", heads, rows)


def _change(change: AppliedChange) -> Html:
    files = [
        *(f"+ {path}" for path in change.added),
        *(f"~ {path}" for path in change.changed),
        *(f"− {path}" for path in change.removed),
    ]
    return row(
        change.version,
        when(change.at),
        bdi(change.by),
        change.plan_id,
        joined([listed([*map(bdi, files[:FIRST])]), _rest(files, FIRST)]),
    )
