"""All formats that a project can be handed on in."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from headrace_docs.exchange.archimate import archimate_files
from headrace_docs.exchange.backstage import backstage_files
from headrace_docs.exchange.contracts import odcs_files, odps_files
from headrace_docs.exchange.datahub import datahub_files
from headrace_docs.exchange.dbt_catalog import dbt_catalog_files
from headrace_docs.exchange.dcat import dcat_files
from headrace_docs.exchange.openlineage import openlineage_files
from headrace_docs.exchange.openmetadata import openmetadata_files
from headrace_docs.exchange.regulations import ai_act_files, bcbs_files, gdpr_files, sox_files
from headrace_docs.exchange.togaf import togaf_files
from headrace_docs.exchange.zachman import zachman_files
from headrace_docs.responses.description import Description

Files = Iterable[tuple[str, str | bytes]]
"""Path below the folder → contents."""


FORMATS: dict[str, Callable[[Description], Files]] = {
    "ai-act": ai_act_files,
    "archimate": archimate_files,
    "backstage": backstage_files,
    "bcbs-239": bcbs_files,
    "datahub": datahub_files,
    "dbt-catalog": dbt_catalog_files,
    "dcat": dcat_files,
    "gdpr": gdpr_files,
    "odcs": odcs_files,
    "odps": odps_files,
    "openlineage": openlineage_files,
    "openmetadata": openmetadata_files,
    "sox": sox_files,
    "togaf": togaf_files,
    "zachman": zachman_files,
}
"""Name of a format → what yields its files."""
