"""Files that are broken, hostile or huge: each is named, and nothing else is lost."""

from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import Any

import pytest
from adf_factories import activity, basics, copy, imported, items, pipeline, script, verdicts, write

from headrace_import.importers.adf import read_project
from headrace_import.importers.adf.evaluate import text_value
from headrace_import.importers.adf.json_text import DEPTH_MAX, BrokenJsonError, decoded, parse
from headrace_import.importers.adf.values import Scope, Unknown

_PIPELINE = {"name": "p", "properties": {"activities": [activity("Run", "Delete")]}}


@pytest.mark.parametrize(
    ("text", "reason", "line"),
    [
        ('{"name": "p",\n "properties": {"activities": [],}}', "comma", 2),
        ('{"name": "p" // a comment\n}', "should", 1),
        ('{"a": 1, "a": 2}', "twice", 1),
        ("", "end of the file", 1),
        ("[" * 5000, "deep", 1),
        ('{"a":' * 5000, "deep", 1),
        ('{"a": "\\x"}', "escape", 1),
        ("{} {}", "follows", 1),
    ],
)
def test_a_file_that_is_not_json_is_an_item_of_its_own(
    tmp_path: Path, text: str, reason: str, line: int
) -> None:
    """Would catch a RecursionError, and a broken file that hides the others."""
    write(tmp_path, "pipeline/bad.json", text)
    write(tmp_path, "pipeline/good.json", _PIPELINE)
    found = items(read_project(tmp_path))
    assert set(found) == {"pipeline/bad.json", "p/Run"}
    bad = found["pipeline/bad.json"]
    assert (str(bad.verdict), bad.line, reason in bad.why) == ("person", line, True), bad.why


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-8"])
def test_every_encoding_of_the_portal_is_read(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline/p.json").write_bytes(json.dumps(_PIPELINE).encode(encoding))
    assert verdicts(read_project(tmp_path)) == {"p/Run": "command"}


def test_bytes_in_no_encoding_are_refused() -> None:
    with pytest.raises(BrokenJsonError, match="UTF-8"):
        decoded(b'{"a": "\xff"}')


def test_objects_know_their_lines() -> None:
    """Would catch an item that leads to another line of its file."""
    document = parse('{\n "a": [\n  {"b": 1},\n  {"b": 2}\n ]\n}')
    assert [one.line for one in document["a"]] == [3, 4]
    assert document["a"][1].original == '{"b": 2}'
    assert parse("[" * DEPTH_MAX + "]" * DEPTH_MAX)


@pytest.mark.parametrize("depth", [90, 101, 5000])
def test_expressions_nested_deep_are_no_recursion_error(depth: int) -> None:
    text = "@" + "string(" * depth + "'a'" + ")" * depth
    value = text_value(text, Scope())
    if depth <= 100:
        assert value == "a"
    else:
        assert isinstance(value, Unknown)
        assert "deep" in value.reason


@pytest.mark.parametrize(
    "text", ["@", "@concat(", "@concat('a'", "@'a", "@{", "a@{concat('b'", "@a.b", "@f(1)(2)"]
)
def test_broken_expressions_are_unknown(text: str) -> None:
    assert isinstance(text_value(text, Scope()), Unknown)


def test_hostile_names_stay_out_of_paths_and_sql(tmp_path: Path) -> None:
    """Would catch a path that leaves the folder, and a quote that ends a comment or a text."""
    root = tmp_path / "factory"
    basics(root)
    names = [
        "../../x",
        "<script>alert(1)</script>",
        "a'; drop table x; --",
        "*/ select 1",
        "Ünï",
        "select",
        "日本",
    ]
    activities = [activity(name, "Delete", description=f"{name}\n*/ x") for name in names]
    sql = (
        'TRUNCATE TABLE dbo.[a"; drop]; INSERT INTO dbo.[a"; drop] SELECT [x\'"y] FROM dbo.[b */ c]'
    )
    one = {**script("SQL */", sql), "description": "*/ drop table x"}
    named = {"name": "../../etc/p", "properties": {"activities": [*activities, one]}}
    write(root, "pipeline/p.json", named)
    project = imported(root, tmp_path / "new")
    assert len(project.items) == 8
    for path in project.files:
        assert not path.startswith("/")
        assert ".." not in path.split("/")
        assert all(sign.isalnum() or sign in "_./" for sign in path)


def test_names_that_collide_after_cleaning_are_all_kept(tmp_path: Path) -> None:
    root = tmp_path / "factory"
    names = ["Load Data", "load-data", "LOAD_DATA", "load.data"]
    pipeline(root, "p", [activity(name, "Delete") for name in names])
    project = imported(root, tmp_path / "new")
    created = [item.created[0] for item in project.items]
    assert len(set(created)) == 4


def test_duplicate_names_are_all_items(tmp_path: Path) -> None:
    """Would catch an item that stands for two activities."""
    root = tmp_path / "factory"
    write(root, "a/pipeline/p.json", _PIPELINE)
    other = [activity("Run", "Delete"), activity("Run", "Delete")]
    write(root, "b/pipeline/p.json", {"name": "p", "properties": {"activities": other}})
    assert set(verdicts(imported(root, tmp_path / "new"))) == {"p/Run", "p~2/Run", "p~2/Run~2"}


def test_missing_references_are_named(tmp_path: Path) -> None:
    root = tmp_path / "factory"
    call = activity("Call", "ExecutePipeline", settings={"pipeline": {"referenceName": "none"}})
    pipeline(root, "p", [copy("Load", "no_file", "no_table"), call, {"name": "x"}, {"type": 3}])
    found = items(imported(root, tmp_path / "new"))
    assert "`no_table` isn't among the files" in found["p/Load"].why
    assert "isn't among the files" in found["p/Call"].why
    assert str(found["p/x"].verdict) == "person"


def test_templates_have_the_same_tasks(tmp_path: Path) -> None:
    """Would catch `[concat(…)]` as a name, and values of a file of parameters that are lost."""
    root = tmp_path / "factory"
    name = "[concat(parameters('factoryName'), '/X')]"
    wait = activity("Wait", "Wait", settings={"waitTimeInSeconds": "[parameters('seconds')]"})
    template = {
        "$schema": "http://schema.management.azure.com/schemas/2015-01-01/deploymentTemplate.json#",
        "parameters": {"factoryName": {"type": "string"}, "seconds": {"type": "int"}},
        "resources": [{"name": name, "type": "Microsoft.DataFactory/factories/pipelines",
                       "properties": {"activities": [wait, activity("Run", "Delete")]}}],
    }  # fmt: skip
    write(root, "ARMTemplateForFactory.json", template)
    given = {"$schema": "deploymentParameters.json#", "parameters": {"seconds": {"value": 7}}}
    write(root, "ARMTemplateParametersForFactory.json", given)
    project = imported(root, tmp_path / "new")
    assert verdicts(project) == {"X/Wait": "carried", "X/Run": "command"}
    assert "command: [sleep, '7']" in project.files["assets/x/wait.yaml"]


@pytest.mark.system
@pytest.mark.long
def test_a_thousand_files_are_read_in_a_minute_of_processor_time(tmp_path: Path) -> None:
    basics(tmp_path)
    for number in range(1000):
        calls = [
            activity(f"A{one}", "DatabricksNotebook", [f"A{one - 1}"] if one else [])
            for one in range(10)
        ]
        pipeline(tmp_path, f"p{number}", calls)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    project = read_project(tmp_path)
    assert len(project.items) == 10_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - before < 60


def _template(root: Path, path: str, resources: list[Any], **parameters: Any) -> None:
    schema = "http://schema.management.azure.com/schemas/2015-01-01/deploymentTemplate.json#"
    document = {"$schema": schema, "parameters": parameters, "resources": resources}
    write(root, path, document)


def test_a_template_of_bare_pipelines_is_read(tmp_path: Path) -> None:
    """Would catch templates of the Fabric gallery that are passed over without a word."""
    root = tmp_path / "factory"
    properties = {"activities": [activity("Refresh", "PBISemanticModelRefresh")]}
    resource_ = {"name": "Nightly", "type": "pipelines", "properties": properties}
    _template(root, "Nightly.json", [resource_])
    assert verdicts(imported(root, tmp_path / "new")) == {"Nightly/Refresh": "command"}


def test_a_name_made_at_deployment_has_a_star(tmp_path: Path) -> None:
    """Would catch a parameter's name in the place of its value, and a call that misses it."""
    root = tmp_path / "factory"
    kind = "Microsoft.DataFactory/factories/pipelines"
    suffix = "parameters('short'))]"
    call = {"referenceName": f"[concat('Load_', {suffix}", "type": "PipelineReference"}
    main = [activity("Call", "ExecutePipeline", settings={"pipeline": call})]
    _template(
        root, "t.json",
        [{"name": f"[concat(parameters('f'), '/Load_', {suffix}", "type": kind,
          "properties": {"activities": [activity("Run", "Delete")]}},
         {"name": "[concat(parameters('f'), '/Main')]", "type": kind,
          "properties": {"activities": main}}],
        f={"type": "string"}, short={"type": "string"},
    )  # fmt: skip
    project = imported(root, tmp_path / "new")
    assert verdicts(project) == {"Main/Call": "command", "Load_*/Run": "command"}


def test_a_template_that_differs_inside_a_container_is_another_pipeline(tmp_path: Path) -> None:
    """Would catch activities that are lost because the outer names are the same."""
    root = tmp_path / "factory"
    items_ = {"items": {"value": "@createArray(1)", "type": "Expression"}}

    def loop(name: str) -> list[Any]:
        inner = [activity(name, "Delete")]
        return [activity("Each", "ForEach", settings={**items_, "activities": inner})]

    pipeline(root, "p", loop("Old"))
    kind = "Microsoft.DataFactory/factories/pipelines"
    _template(
        root, "t.json", [{"name": "f/p", "type": kind, "properties": {"activities": loop("New")}}]
    )
    found = set(verdicts(imported(root, tmp_path / "new")))
    assert found == {"p/Each", "p/Each/Old", "p~2/Each", "p~2/Each/New"}


def test_a_pipeline_without_properties_around_it_is_read(tmp_path: Path) -> None:
    """Would catch a pipeline as `az datafactory pipeline show` prints it."""
    root = tmp_path / "factory"
    write(root, "pipeline/p.json", {"name": "p", "activities": [activity("Run", "Delete")]})
    assert verdicts(imported(root, tmp_path / "new")) == {"p/Run": "command"}


def test_containers_nested_deep_lose_no_activity(tmp_path: Path) -> None:
    """Would catch activities below some depth that aren't in the report."""
    inner = activity("Leaf", "Delete")
    for number in range(45):
        settings = {"expression": {"value": "@true", "type": "Expression"}}
        settings["ifTrueActivities"] = [inner]  # type: ignore[assignment]
        inner = activity(f"If {number}", "IfCondition", settings=settings)
    root = tmp_path / "factory"
    pipeline(root, "p", [inner])
    assert len(read_project(root).items) == 46


def _with_pipelines(
    names: list[str], activities: list[list[Any]], **parameters: Any
) -> dict[str, Any]:
    resources = [
        {"name": name, "type": "Microsoft.DataFactory/factories/pipelines",
         "properties": {"activities": listed}}
        for name, listed in zip(names, activities, strict=True)
    ]  # fmt: skip
    return {
        "$schema": "http://schema.management.azure.com/schemas/2015-01-01/deploymentTemplate.json#",
        "parameters": {"factoryName": {"type": "string"}, **parameters},
        "resources": resources,
    }


def test_pipelines_with_unknown_names_are_all_items(tmp_path: Path) -> None:
    """Would catch two pipelines that both are `*`, and a call that leads to the wrong one."""
    root = tmp_path / "factory"
    names = [f"[concat(parameters('factoryName'), '/', parameters('{one}'))]" for one in "abc"]
    run = activity("Run", "Delete")
    reference = {"referenceName": "[parameters('b')]", "type": "PipelineReference"}
    call = activity("Call", "ExecutePipeline", settings={"pipeline": reference})
    template = _with_pipelines(
        names, [[run], [run], [call]], **{one: {"type": "string"} for one in "abc"}
    )
    write(root, "template.json", template)
    project = imported(root, tmp_path / "new")
    assert set(verdicts(project)) == {"*/Run", "*~2/Run", "*~3/Call"}
    triggers = [(one.origin, one.target) for one in project.dependencies]
    assert triggers == [("*~3/Call", "*~2/Run")]
    assert "write the pipeline's name" in items(project)["*/Run"].todo
    assert "'[a]'" in project.files[items(project)["*/Run"].created[0]]


def test_secure_defaults_of_templates_and_pipelines_are_secrets(tmp_path: Path) -> None:
    """Would catch the default of a `secureString` that is copied into a command or a report."""
    root = tmp_path / "factory"
    secrets = ["Tr0ub4dor-and-3", "correct-horse-4", "battery-staple-5"]
    web = activity("Ask", "WebActivity", settings={
        "url": "[concat('https://x/', parameters('key'))]", "method": "POST", "body": "x"})  # fmt: skip
    template = _with_pipelines(
        ["[concat(parameters('factoryName'), '/p')]"], [[web]],
        key={"type": "secureString", "defaultValue": secrets[0]},
        password={"type": "string", "defaultValue": secrets[1]},
    )  # fmt: skip
    write(root, "template.json", template)
    uses = activity("Use", "DatabricksNotebook", settings={
        "notebookPath": "/n", "baseParameters": {"k": {"value": "@pipeline().parameters.k", "type": "Expression"}}})  # fmt: skip
    default = {"k": {"type": "SecureString", "defaultValue": secrets[2]}}
    pipeline(root, "child", [uses], parameters=default)
    project = imported(root, tmp_path / "new")
    assert {one.name for one in project.secrets} == {
        "parameters.key", "parameters.password", "child.k",
    }  # fmt: skip
    assert not any(secret in repr(project) for secret in secrets)
