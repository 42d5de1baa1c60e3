"""A catalogue in JSON-LD: DCAT 3 with data products of DPROD (https://ekgf.github.io/dprod/).

A domain is a data product: what it reads of others are its inputs, what others read its outputs.
There are no blank nodes, and no context is fetched by readers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from headrace_docs.exchange.names import (
    by_domain,
    iri,
    json_text,
    mailboxes,
    owner_of,
    ports,
    words,
)
from headrace_docs.responses.description import DescribedNode, DescribedOwner, Description

_CONTEXT = {
    "dcat": "http://www.w3.org/ns/dcat#",
    "dct": "http://purl.org/dc/terms/",
    "dprod": "https://ekgf.github.io/dprod/",
    "foaf": "http://xmlns.com/foaf/0.1/",
    "owl": "http://www.w3.org/2002/07/owl#",
    "prov": "http://www.w3.org/ns/prov#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "skos": "http://www.w3.org/2004/02/skos/core#",
    "vcard": "http://www.w3.org/2006/vcard/ns#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}
_STATUS = "https://ekgf.github.io/dprod/data/lifecycle-status/"
_FREQUENCY = "http://publications.europa.eu/resource/authority/frequency/"
_FREQUENCIES = {
    "hour": "HOURLY",
    "day": "DAILY",
    "week": "WEEKLY",
    "month": "MONTHLY",
    "quarter": "QUARTERLY",
    "year": "ANNUAL",
}
Item = dict[str, Any]


def dcat_files(described: Description) -> Iterator[tuple[str, str]]:
    """Yield one file with all resources, flat, by kind and name."""
    items = [
        _catalogue(described),
        *(_agent(described, owner) for owner in described.owners),
        *_themes(described),
        *_kinds(described),
        *_statuses(described),
        *(_dataset(described, node) for node in described.nodes),
        *_products(described),
    ]
    yield "catalog.jsonld", json_text({"@context": _CONTEXT, "@graph": items})


def _item(address: str, kinds: str | list[str], **values: Any) -> Item:
    """Return a resource without what is None or empty; `a_b` becomes `a:b`."""
    rows = {key.replace("_", ":", 1): value for key, value in values.items()}
    return {
        "@id": address,
        "@type": kinds,
        **{key: value for key, value in rows.items() if value not in (None, [], "")},
    }


def _link(address: str | None) -> Item | None:
    return None if address is None else {"@id": address}


def _links(described: Description, kind: str, names: Sequence[str]) -> list[Item]:
    return [{"@id": iri(described, kind, name)} for name in names]


def _time(at: datetime | None) -> Item | None:
    return (
        None
        if at is None
        else {"@value": at.isoformat(timespec="seconds"), "@type": "xsd:dateTime"}
    )


def _catalogue(described: Description) -> Item:
    owner = owner_of(described.nodes)
    themes = _links(described, "scheme", ["domains"]) if by_domain(described) else []
    return _item(
        iri(described, "catalog"),
        "dcat:Catalog",
        dct_title=words(described.project),
        dct_description=(
            f"What is applied in the project {words(described.project)}, environment"
            f" {words(described.env)}, as {words(described.reader)} may see it."
        ),
        dct_publisher=_link(None if owner is None else iri(described, "owner", owner)),
        dct_modified=_time(described.at),
        dcat_version=None if described.version is None else str(described.version),
        dcat_themeTaxonomy=themes,
        dcat_dataset=_links(described, "dataset", [node.name for node in described.nodes]),
        dcat_resource=_links(described, "product", list(by_domain(described))),
    )


def _agent(described: Description, owner: DescribedOwner) -> Item:
    return _item(
        iri(described, "owner", owner.owner),
        ["foaf:Agent", "prov:Agent", "vcard:Kind"],
        foaf_name=words(owner.owner),
        vcard_fn=words(owner.owner),
        vcard_hasEmail=[{"@id": address} for address in mailboxes(owner.contact)],
    )


def _themes(described: Description) -> Iterator[Item]:
    scheme = iri(described, "scheme", "domains")
    domains = by_domain(described)
    if domains:
        yield _item(scheme, "skos:ConceptScheme", dct_title="Domains", skos_prefLabel="Domains")
    for domain in domains:
        yield _item(
            iri(described, "domain", domain),
            "skos:Concept",
            skos_prefLabel=words(domain),
            skos_inScheme=_link(scheme),
        )


def _kinds(described: Description) -> Iterator[Item]:
    """Yield what datasets are classified by: kind, frequency, sensitivity and contract."""
    nodes = described.nodes
    for name in sorted({_kind(node) for node in nodes}):
        yield _item(iri(described, "kind", name), "skos:Concept", skos_prefLabel=name)
    for name in sorted(_FREQUENCIES.keys() & {node.partition for node in nodes}):
        yield _item(_FREQUENCY + _FREQUENCIES[name], "dct:Frequency", rdfs_label=f"each {name}")
    for name in sorted({name for node in nodes for name in _classes_of(node)}):
        yield _item(
            iri(described, "classification", name),
            "dprod:InformationSensitivityClassification",
            rdfs_label=words(name),
        )
    for name in sorted({node.contract.name for node in nodes if node.contract is not None}):
        address = iri(described, "contract", name)
        yield _item(address, "dct:Standard", dct_title=words(name))


def _kind(node: DescribedNode) -> str:
    return "source" if node.kind == "source" else "asset"


def _classes_of(node: DescribedNode) -> list[str]:
    return sorted({each.classification for each in node.columns if each.classification})


def _dataset(described: Description, node: DescribedNode) -> Item:
    frequency = _FREQUENCIES.get(node.partition or "")
    contract = node.contract
    owner = _link(iri(described, "owner", node.owner))
    return _item(
        iri(described, "dataset", node.name),
        "dcat:Dataset",
        dct_title=words(node.name),
        rdfs_label=words(node.name),
        dct_identifier=words(node.name),
        dct_description=words(node.description) or "It isn't described.",
        dct_type=_link(iri(described, "kind", _kind(node))),
        dct_publisher=owner,
        dcat_contactPoint=owner,
        dct_modified=_time(node.published_at),
        dct_accrualPeriodicity=_link(None if frequency is None else _FREQUENCY + frequency),
        dcat_keyword=[words(name) for name in node.tags],
        dcat_theme=_links(described, "domain", [node.domain] if node.domain else []),
        dcat_version=None if contract is None else words(contract.version),
        dct_conformsTo=_links(described, "contract", [contract.name] if contract else []),
        dprod_informationSensitivityClassification=_links(
            described, "classification", _classes_of(node)
        ),
        prov_wasDerivedFrom=_links(
            described, "dataset", [edge.node for edge in node.reads if edge.mode != "depends"]
        ),
    )


def _status_of(nodes: Sequence[DescribedNode], outputs: Sequence[str]) -> str:
    """Return how far a product is: `Build` before the first publication, then by its readers."""
    if all(node.newest is None for node in nodes):
        return "Build"
    return "Consume" if outputs else "Deploy"


def _statuses(described: Description) -> Iterator[Item]:
    sides = ports(described)
    names = {_status_of(nodes, sides[name][1]) for name, nodes in by_domain(described).items()}
    for name in sorted(names):
        yield _item(_STATUS + name, "dprod:DataProductLifecycleStatus", rdfs_label=name)


def _products(described: Description) -> Iterator[Item]:
    sides = ports(described)
    for domain, nodes in by_domain(described).items():
        inputs, outputs = sides[domain]
        owner = owner_of(nodes)
        yield _item(
            iri(described, "product", domain),
            ["dprod:DataProduct", "dcat:Resource"],
            rdfs_label=words(domain),
            dct_title=words(domain),
            dct_description=f"The sources and assets of the domain {words(domain)}.",
            dprod_dataProductOwner=_link(None if owner is None else iri(described, "owner", owner)),
            dprod_domain=_link(iri(described, "domain", domain)),
            dprod_lifecycleStatus=_link(_STATUS + _status_of(nodes, outputs)),
            dprod_inputDataset=_links(described, "dataset", inputs),
            dprod_outputDataset=_links(described, "dataset", outputs),
        )
