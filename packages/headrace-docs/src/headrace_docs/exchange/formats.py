"""All formats that a project can be handed on in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from headrace_docs.exchange.backstage import backstage_files
from headrace_docs.exchange.dbt_catalog import dbt_catalog_files
from headrace_docs.exchange.dcat import dcat_files
from headrace_docs.exchange.openlineage import openlineage_files
from headrace_docs.responses.description import Description

Files = Iterable[tuple[str, str | bytes]]
"""Path below the folder → contents."""


class Format(NamedTuple):
    """A format: what its readers are, and what writes its files."""

    readers: str
    files: Callable[[Description], Files]


FORMATS = {
    "backstage": Format("Backstage: catalog-info.yaml", backstage_files),
    "dbt-catalog": Format("tools of dbt: catalog.json", dbt_catalog_files),
    "dcat": Format("data catalogues: DCAT 3 and DPROD as JSON-LD", dcat_files),
    "openlineage": Format("lineage stores: one event a line", openlineage_files),
}
"""Name of a format → the format, by name."""
