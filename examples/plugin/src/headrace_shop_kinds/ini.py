"""The file format `ini`: each section is a record."""

from __future__ import annotations

import configparser
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from headrace.extension.formats import CannotRead, RecordFormat


class Ini(RecordFormat):
    """INI files: each section is a record, with its name in the column `section`."""

    name = "ini"
    endings = (".ini",)
    fields = ("section",)
    textual = True

    def schema(self) -> dict[str, dict[str, Any]]:
        """Return what editors offer."""
        return {"section": {"type": "string"}}

    def records(self, path: Path, options: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Yield the options of each section; `section:` names the column of its name."""
        parser = configparser.ConfigParser(interpolation=None)
        parser.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their case
        try:
            parser.read_string(path.read_text(encoding="utf-8"))
        except (configparser.Error, UnicodeDecodeError) as error:
            raise CannotRead(f"it isn't an INI file: {error}") from error
        for section in parser.sections():
            yield {options.get("section", "section"): section, **parser[section]}
