"""ArchiMate's Model Exchange File Format, which holds models of ArchiMate 3.1 and 3.2.

Domains are products, sources and assets data objects, assets application processes besides, which
access what they read and write; consumers are application components, owners business actors,
terms business objects. https://www.opengroup.org/xsd/archimate/
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from xml.etree import ElementTree as ET

from headrace_docs.exchange.names import by_domain, iri, words
from headrace_docs.responses.description import DescribedNode, Description

_SPACE = "http://www.opengroup.org/xsd/archimate/3.0/"
_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
_TYPE = f"{{{_INSTANCE}}}type"
_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
_PROPERTIES = ("state", "newest", "rows", "domain", "classification", "contract", "declared in")


def archimate_files(described: Description) -> Iterator[tuple[str, bytes]]:
    """Yield the model, without views: tools draw them from its elements and relationships."""
    ET.register_namespace("", _SPACE)
    ET.register_namespace("xsi", _INSTANCE)
    model = _Model(described)
    for owner in described.owners:
        model.element("owner", owner.owner, "BusinessActor", "")
    for domain in by_domain(described):
        model.element("domain", domain, "Product", "")
    for node in described.nodes:
        _add_node(model, node)
    for consumer in described.consumers:
        model.element(
            "consumer",
            consumer.name,
            "ApplicationComponent",
            consumer.description,
            {"state": consumer.standing.state},
        )
        model.relate("owner", consumer.standing.owner, "consumer", consumer.name, "Association")
        for read in consumer.standing.reads:
            model.relate("consumer", consumer.name, "data", read.asset, "Access", accessType="Read")
    for term in described.terms:
        model.element("term", term.term, "BusinessObject", term.definition)
        for name in sorted({use.node for use in term.used_by if use.exists}):
            model.relate("data", name, "term", term.term, "Realization")
    yield "archimate.xml", model.document()


def _add_node(model: _Model, node: DescribedNode) -> None:
    classes = sorted({each.classification for each in node.columns if each.classification})
    contract = node.contract
    facts = {
        "state": node.state,
        "newest": node.newest,
        "rows": None if node.rows is None else str(node.rows),
        "domain": node.domain,
        "classification": ", ".join(classes),
        "contract": None if contract is None else f"{contract.name} {contract.version}",
        "declared in": node.place,
    }
    model.element("data", node.name, "DataObject", node.description, facts)
    model.relate("owner", node.owner, "data", node.name, "Association")
    if node.domain is not None:
        model.relate("domain", node.domain, "data", node.name, "Aggregation")
    if node.kind == "source":
        return
    model.element("process", node.name, "ApplicationProcess", "")
    model.relate("process", node.name, "data", node.name, "Access", accessType="Write")
    for edge in node.reads:
        if edge.mode != "depends":
            model.relate("process", node.name, "data", edge.node, "Access", accessType="Read")


class _Model:
    """A model that grows; a relationship to something that isn't in it is left out."""

    def __init__(self, described: Description) -> None:
        self._described = described
        self._elements: dict[str, ET.Element] = {}
        self._relationships: dict[str, ET.Element] = {}

    def _id(self, *names: str) -> str:
        return f"id-{uuid.uuid5(uuid.NAMESPACE_URL, iri(self._described, *names))}"

    def element(
        self,
        kind: str,
        name: str,
        archetype: str,
        about: str,
        facts: Mapping[str, str | None] | None = None,
    ) -> None:
        """Add an element; `facts` become its properties, by their names."""
        key = self._id(kind, name)
        item = ET.Element(_tag("element"), {"identifier": key, _TYPE: archetype})
        _text(item, "name", name)
        if about:
            _text(item, "documentation", about)
        given = {fact: value for fact, value in (facts or {}).items() if value}
        if given:
            properties = ET.SubElement(item, _tag("properties"))
            for fact, value in given.items():
                reference = {"propertyDefinitionRef": _property_id(fact)}
                entry = ET.SubElement(properties, _tag("property"), reference)
                _text(entry, "value", value)
        self._elements[key] = item

    def relate(
        self, kind: str, name: str, to_kind: str, to: str, archetype: str, **more: str
    ) -> None:
        """Add a relationship between two elements."""
        source, target = self._id(kind, name), self._id(to_kind, to)
        key = self._id("relationship", kind, name, to_kind, to, archetype, *more.values())
        attributes = {"identifier": key, "source": source, "target": target, **more}
        self._relationships[key] = ET.Element(
            _tag("relationship"), {**attributes, _TYPE: archetype}
        )

    def document(self) -> bytes:
        """Return the file; elements that must not be empty are left out."""
        described = self._described
        root = ET.Element(_tag("model"), {"identifier": self._id("model")})
        _text(root, "name", described.project)
        _text(
            root,
            "documentation",
            f"True at {described.at:%Y-%m-%d %H:%M} ({described.timezone}), environment"
            f" {described.env}, for {described.reader}.",
        )
        related = [
            item
            for item in self._relationships.values()
            if {item.get("source"), item.get("target")} <= self._elements.keys()
        ]
        for name, items in (("elements", [*self._elements.values()]), ("relationships", related)):
            if items:
                ET.SubElement(root, _tag(name)).extend(items)
        definitions = ET.SubElement(root, _tag("propertyDefinitions"))
        for fact in _PROPERTIES:
            attributes = {"identifier": _property_id(fact), "type": "string"}
            entry = ET.SubElement(definitions, _tag("propertyDefinition"), attributes)
            _text(entry, "name", fact)
        ET.indent(root)
        written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
        return written + b"\n"


def _property_id(fact: str) -> str:
    return f"property-{fact.replace(' ', '-')}"


def _tag(name: str) -> str:
    return f"{{{_SPACE}}}{name}"


def _text(parent: ET.Element, name: str, text: str) -> None:
    ET.SubElement(parent, _tag(name), {_LANGUAGE: "en"}).text = words(text)
