"""`defaults.yaml`: its fields count for each declaration below it that doesn't have them."""

from __future__ import annotations

import os
from pathlib import Path

from projects import source, write

from headrace.compiler.compiling import compile_project
from headrace.model import Grain
from headrace.model.files import FileKind, file_kind

QUERY = "select * from s"
FILES = {
    "sources/s.yaml": source("s"),
    "assets/defaults.yaml": "owner: core\npartition: day\ntags: [a]\nchecks: [{not_null: [k]}]\n",
    "assets/near/defaults.yaml": "owner: vendor\n",
    "assets/far.sql": f"/* headrace\ndescription: d\n*/\n{QUERY}",
    "assets/near/near.sql": f"/* headrace\ntags: [b]\nchecks: []\n*/\n{QUERY}",
    "assets/near/many.sql": (
        f"/* headrace\nname: $value(n)\nfor_each: [{{n: m1}}, {{n: m2}}]\n*/\n{QUERY}"
    ),
    "assets/code.py": (
        "from headrace import asset\n\n\n@asset(inputs=['far'])\ndef code(far):\n    return far\n"
    ),
    "assets/near/command.yaml": "{name: command, command: [cat], inputs: [far]}\n",
}


def test_the_declaration_wins_and_then_the_nearest_folder(tmp_path: Path) -> None:
    compilation = compile_project(write(tmp_path, FILES))
    assert compilation.problems == []
    project = compilation.project
    assert project is not None
    owners = {name: asset.owner for name, asset in project.assets.items()}
    assert owners == {
        "far": "core",
        "code": "core",
        **dict.fromkeys(("near", "m1", "m2", "command"), "vendor"),
    }
    assert {asset.partition.grain for asset in project.assets.values()} == {Grain.DAY}
    assert project.assets["far"].tags == ("a",)
    assert project.assets["near"].tags == ("b",)
    assert project.assets["near"].checks == ()
    assert len(project.assets["m2"].checks) == 1
    assert project.sources["s"].owner == "vendor"


def test_each_edit_of_defaults_counts_although_their_files_are_cached(tmp_path: Path) -> None:
    """Would catch: cached declarations with the owner that a folder had before."""
    root, cache = write(tmp_path / "p", FILES), tmp_path / "cache"

    def owner() -> str:
        for path in root.rglob("*"):
            os.utime(path, (1_600_000_000, 1_600_000_000))
        compilation = compile_project(root, cache=cache)
        assert compilation.project == compile_project(root).project
        assert compilation.project is not None
        return compilation.project.assets["m1"].owner

    assert owner() == "vendor"
    near = root / "assets/near/defaults.yaml"
    near.write_text("owner: core\n")
    assert owner() == "core"
    near.write_text("tags: [x]\n")
    (root / "assets/defaults.yaml").write_text("owner: vendor\n")
    assert owner() == "vendor"
    near.write_text("owner: core\n")
    assert owner() == "core"
    near.unlink()
    assert owner() == "vendor"


def test_a_mistake_is_reported_once_and_where_it_is(tmp_path: Path) -> None:
    defaults = "owner: core\npartition: dy\ncolour: red\ndescription: same\nfiles: x.csv\n"
    compilation = compile_project(write(tmp_path, FILES | {"assets/defaults.yaml": defaults}))
    problems = [(item.place.file, item.place.line, item.message) for item in compilation.problems]
    assert problems == [
        ("assets/defaults.yaml", 2, "`dy` is no way to cut time"),
        ("assets/defaults.yaml", 3, "unknown field `colour` in defaults"),
        ("assets/defaults.yaml", 4, "unknown field `description` in defaults"),
        ("assets/defaults.yaml", 5, "unknown field `files` in defaults"),
    ]


def test_defaults_that_are_no_mapping_or_can_t_be_read_declare_nothing(tmp_path: Path) -> None:
    for text, message in (
        ("- owner: core\n", "defaults must be a mapping, not a list"),
        ("# later\n", "the file declares nothing"),
        ("owner: [\n", "this isn't YAML"),
        ("owner: \0\n", "the file holds a control character"),
    ):
        root = write(tmp_path, FILES | {"assets/near/defaults.yaml": text})
        compilation = compile_project(root)
        assert [item.place.file for item in compilation.problems] == ["assets/near/defaults.yaml"]
        assert message in compilation.problems[0].message


def test_what_a_check_of_defaults_can_t_find_is_reported_at_the_declaration(
    tmp_path: Path,
) -> None:
    files = FILES | {
        "assets/defaults.yaml": "owner: nobody\n",
        "assets/near/defaults.yaml": "owner: core\n",
    }
    compilation = compile_project(write(tmp_path, files))
    assert {(item.place.file, item.place.line) for item in compilation.problems} == {
        ("assets/far.sql", 2),
        ("assets/code.py", 4),
    }


def test_only_the_whole_name_makes_defaults() -> None:
    assert file_kind("assets/a/defaults.yaml") is FileKind.DEFAULTS
    assert file_kind("assets/my_defaults.yaml") is FileKind.YAML_ASSET
    assert file_kind("sources/defaults.yaml") is FileKind.DEFAULTS
    assert file_kind("tests/defaults.yaml") is FileKind.TEST
    assert file_kind("defaults.yaml") is None
