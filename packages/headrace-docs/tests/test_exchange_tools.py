"""What `docs export` writes, validated by tools that aren't Headrace's.

`make test-exchange` installs them and names their Python in EXCHANGE_TOOLS, a folder with
@backstage/catalog-model and @maxgraph/core in EXCHANGE_NODE, and one with the schemas in EXCHANGE_SCHEMAS.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from test_docs_drawings import hostile_flow

from headrace_docs.diagrams.languages import LANGUAGES
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
    write_files(tmp_path / name, FORMATS[name](described))
    require_valid(name, tmp_path / name)


def test_a_tool_reads_the_drawing(tmp_path: Path) -> None:
    """Would catch: a file that draw.io reads differently, or in which markup isn't a text."""
    text = LANGUAGES["drawio"](hostile_flow())
    cells = [cell for cell in ET.fromstring(text).iter("mxCell") if cell.get("vertex")]
    labels = json.dumps([cell.get("value") for cell in cells])
    write_files(tmp_path / "drawio", [("flow.drawio", text), ("labels.json", labels)])
    require_valid("drawio", tmp_path / "drawio")


def require_valid(name: str, folder: Path) -> None:
    tools, schemas = os.environ.get("EXCHANGE_TOOLS"), os.environ.get("EXCHANGE_SCHEMAS")
    if not tools or not schemas:
        pytest.skip("make test-exchange SCHEMAS=FOLDER installs the tools")
    command = [tools, str(PROGRAM), name, str(folder), schemas]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr[-3000:]
