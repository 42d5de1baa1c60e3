"""What `docs export` writes, validated by tools that aren't Headrace's.

`make test-exchange` installs them and names their Python in EXCHANGE_TOOLS, a folder with
@backstage/catalog-model in EXCHANGE_NODE, and one with the schemas in EXCHANGE_SCHEMAS.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from headrace_docs.exchange.formats import FORMATS
from headrace_docs.responses.description import Description
from headrace_docs.services.folders import write_files

PROGRAM = Path(__file__).parent / "exchange/validate_files.py"
VALIDATED = (
    *("archimate", "backstage", "datahub", "dbt-catalog"),
    *("dcat", "odps", "openmetadata"),
)
"""The others are read by tests that need no such tools."""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.parametrize("name", VALIDATED)
def test_tools_accept_the_files(described: Description, name: str, tmp_path: Path) -> None:
    """Would catch: a file that its readers refuse, because of a name or a field."""
    tools, schemas = os.environ.get("EXCHANGE_TOOLS"), os.environ.get("EXCHANGE_SCHEMAS")
    if not tools or not schemas:
        pytest.skip("make test-exchange SCHEMAS=FOLDER installs the tools")
    write_files(tmp_path / name, FORMATS[name](described))
    command = [tools, str(PROGRAM), name, str(tmp_path / name), schemas]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr[-3000:]
