"""Which activities run: conditions on how others end, dead branches, and calls of pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from adf_factories import activity, expression, imported, items, pipeline, trigger, verdicts

from headrace_import.importers.imported import ImportedItem


def _notebook(name: str, after: Any = (), **more: Any) -> dict[str, Any]:
    return activity(name, "DatabricksNotebook", after, settings={"notebookPath": "/n"}, **more)


def _call(name: str, pipeline_: str, after: Any = ()) -> dict[str, Any]:
    settings = {"pipeline": {"referenceName": pipeline_}, "waitOnCompletion": True}
    return activity(name, "ExecutePipeline", after, settings=settings)


def _if(name: str, condition: str, yes: list[Any], no: list[Any]) -> dict[str, Any]:
    return activity(name, "IfCondition", settings={
        "expression": expression(condition), "ifTrueActivities": yes, "ifFalseActivities": no})  # fmt: skip


def _imported(root: Path) -> dict[str, ImportedItem]:
    return items(imported(root, root.parent / "new"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of the factory."""
    return tmp_path / "factory"


@pytest.mark.parametrize(
    ("how", "words"),
    [("Failed", "has failed"), ("Skipped", "was skipped"), ("Completed", "has ended")],
)
def test_what_follows_an_activity_after_a_failure_is_a_persons(
    root: Path, how: str, words: str
) -> None:
    """Would catch a command that runs each time, although the factory runs it after failures."""
    after = [_notebook("Next", ["Tell"]), _notebook("Last", ["Next"])]
    pipeline(root, "p", [_notebook("A"), _notebook("Tell", {"A": how}), *after])
    found = _imported(root)
    assert [str(found[f"p/{name}"].verdict) for name in ("A", "Tell", "Next", "Last")] == [
        "command", "person", "person", "person",
    ]  # fmt: skip
    assert "`Tell` before it" in found["p/Next"].why
    assert found["p/Tell"].why == f"it runs when `A` {words}"


def test_what_an_unknown_activity_holds_is_not_said_to_be_repeated(root: Path) -> None:
    """Would catch "repeats it", which only an Until does."""
    held = {"activities": [_notebook("In")]}
    pipeline(root, "p", [activity("New", "NewThing", settings=held)])
    found = _imported(root)
    assert [str(item.verdict) for item in found.values()] == ["person", "person"]
    assert found["p/New/In"].why == "`New`, of a type that isn't known, decides whether it runs"


def test_what_a_container_or_a_pipeline_does_after_a_failure_is_a_persons(root: Path) -> None:
    """Would catch the activities of a ForEach or a called pipeline that run without a failure."""
    loop = activity("Each", "ForEach", {"A": "Failed"}, settings={
        "items": expression("@createArray(1)"), "activities": [_notebook("In")]})  # fmt: skip
    pipeline(root, "child", [_notebook("C")])
    pipeline(root, "p", [_notebook("A"), loop, _call("Call", "child", {"A": "Failed"})])
    found = _imported(root)
    assert {key: str(item.verdict) for key, item in found.items()} == {
        "p/A": "command", "p/Each": "person", "p/Each/In": "person", "p/Call": "person",
        "child/C": "person",
    }  # fmt: skip
    assert "`p/Call` calls it" in found["child/C"].why


def test_a_pipeline_that_is_called_on_a_condition_of_the_run_is_a_persons(root: Path) -> None:
    """Would catch a pipeline that runs each day because its caller is scheduled each day."""
    pipeline(root, "child", [_notebook("C")])
    pipeline(root, "p", [_if("If", "@equals(pipeline().RunId, 'x')", [_call("Call", "child")], [])])
    recurrence = {"frequency": "Day", "interval": 1, "startTime": "2025-01-01T00:00:00"}
    trigger(root, "t", "ScheduleTrigger", "p", {"recurrence": recurrence})
    found = _imported(root)
    assert str(found["child/C"].verdict) == "person"
    assert not found["child/C"].created


def test_dead_branches_are_explained_and_weaken_nothing(root: Path) -> None:
    """Would catch a call that is for a person only because of a branch that never runs."""
    dead = _if("If", "@equals(1, 2)", [_notebook("Del")], [_notebook("Do")])
    pipeline(root, "child", [dead])
    pipeline(root, "p", [_call("Child", "child")])
    found = _imported(root)
    assert str(found["p/Child"].verdict) == "command"
    assert str(found["child/If"].verdict) == "command"
    assert found["child/If/Del"].why == "it never runs: the condition of `If` is always false"


def test_what_follows_what_never_succeeds_never_runs(root: Path) -> None:
    """Would catch a command after an activity that counts as failed, or after a Fail."""
    off = _notebook("Off", state="Inactive", onInactiveMarkAs="Failed")
    fine = _notebook("Fine", state="Inactive", onInactiveMarkAs="Succeeded")
    fail = activity("Stop", "Fail", settings={"message": "m", "errorCode": "1"})
    follow = [_notebook("A", ["Off"]), _notebook("B", ["Fine"]), _notebook("C", ["Stop"])]
    pipeline(root, "p", [off, fine, fail, *follow])
    found = _imported(root)
    assert [str(found[f"p/{name}"].verdict) for name in "ABC"] == ["person", "command", "person"]
    assert "never runs" in found["p/A"].why
    assert "never runs" in found["p/C"].why


def test_one_decision_is_counted_in_the_singular(root: Path) -> None:
    pipeline(root, "child", [activity("Hook", "WebHook"), _notebook("Do")])
    pipeline(root, "p", [_call("Child", "child")])
    why = _imported(root)["p/Child"].why
    assert why == "1 of the activities of `child` needs a decision"


def test_a_wait_does_the_same_here(root: Path) -> None:
    """Would catch a `sleep` that is said to run unchanged in the factory."""
    pipeline(root, "p", [activity("W", "Wait", settings={"waitTimeInSeconds": 5})])
    assert str(_imported(root)["p/W"].verdict) == "carried"


def test_retries_of_a_trigger_are_noted(root: Path) -> None:
    pipeline(root, "p", [_notebook("A")])
    window = {"frequency": "Hour", "interval": 1, "startTime": "2025-03-01T00:00:00Z",
              "retryPolicy": {"count": 3, "intervalInSeconds": 30}}  # fmt: skip
    trigger(root, "t", "TumblingWindowTrigger", "p", window)
    assert "3 times (`retryPolicy`)" in _imported(root)["p/A"].todo


def test_a_call_that_the_factory_does_not_wait_for_says_so(root: Path) -> None:
    pipeline(root, "child", [_notebook("C")])
    settings = {"pipeline": {"referenceName": "child"}}
    pipeline(root, "p", [activity("Call", "ExecutePipeline", settings=settings)])
    assert "without waiting" in _imported(root)["p/Call"].todo


def test_nested_containers_are_decided_from_the_outside(root: Path) -> None:
    """Would catch an activity that runs within an Until, a Switch and a ForEach of a dead If."""
    inner = _if("Inner", "@equals('a', 'a')", [_notebook("Yes")], [_notebook("No")])
    case = {"value": "full", "activities": [inner]}
    switch = activity("S", "Switch", settings={
        "on": expression("@pipeline().parameters.mode"), "cases": [case],
        "defaultActivities": [_notebook("Default")]})  # fmt: skip
    until = activity("U", "Until", settings={
        "expression": expression("@equals(1, 1)"), "activities": [_notebook("Again")]})  # fmt: skip
    mode = {"mode": {"type": "string", "defaultValue": "delta"}}
    pipeline(root, "child", [switch, until], parameters=mode)
    call = _call("Call", "child")
    call["typeProperties"]["parameters"] = {"mode": "full"}
    pipeline(root, "p", [call])
    found = {key: str(item.verdict) for key, item in _imported(root).items()}
    assert found["child/S/Inner/Yes"] == found["child/S"] == "command"
    for name in ("S/Inner/No", "S/Default", "U", "U/Again"):
        assert found[f"child/{name}"] == "person"
    assert verdicts(imported(root, root.parent / "again")) == found


@pytest.mark.parametrize(
    "condition",
    [
        "@equals(pipeline().parameters.run, 'yes')",
        "@equals(variables('v'), 'yes')",
        "@bool(pipeline().parameters.flag)",
    ],
)
def test_a_default_is_no_decision(root: Path, condition: str) -> None:
    """Would catch 222 of 228 items that "never run" because of a default, which a run replaces."""
    guarded = _if("If", condition, [_notebook("Yes"), _call("Call", "child")], [_notebook("No")])
    each = activity(
        "Each", "ForEach",
        settings={"items": expression("@pipeline().parameters.list"), "activities": [_notebook("E")]},
    )  # fmt: skip
    parameters = {
        "run": {"type": "string", "defaultValue": "no"},
        "flag": {"type": "bool", "defaultValue": False},
        "list": {"type": "array", "defaultValue": []},
    }
    variable = {"v": {"type": "String", "defaultValue": ""}}
    setting = activity(
        "Set", "SetVariable",
        settings={"variableName": "v", "value": expression("@pipeline().parameters.run")},
    )  # fmt: skip
    pipeline(root, "child", [_notebook("C")])
    guarded["dependsOn"] = [{"activity": "Set", "dependencyConditions": ["Succeeded"]}]
    pipeline(root, "p", [setting, guarded, each], parameters=parameters, variables=variable)
    found = _imported(root)
    for name in ("p/If/Yes", "p/If/Call", "p/Each/E", "child/C"):
        assert str(found[name].verdict) == "person"
        assert "never" not in found[name].why, found[name].why
        assert "default" in found[name].why or "variables" in condition, found[name].why
    assert "only a run knows" in found["p/If/Yes"].why


def test_what_a_trigger_passes_is_a_decision(root: Path) -> None:
    """Would catch a condition that is called unknown although the trigger gives its value."""
    guarded = _if("If", "@equals(pipeline().parameters.run, 'yes')", [_notebook("Yes")], [])
    parameters = {"run": {"type": "string", "defaultValue": "yes"}}
    pipeline(root, "p", [guarded], parameters=parameters)
    recurrence = {"frequency": "Day", "interval": 1, "startTime": "2025-01-01T00:00:00"}
    trigger(root, "t", "ScheduleTrigger", "p", {"recurrence": recurrence}, parameters={"run": "no"})
    assert _imported(root)["p/If/Yes"].why.startswith("it never runs")
