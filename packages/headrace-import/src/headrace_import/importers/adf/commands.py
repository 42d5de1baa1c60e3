"""Activities that run unchanged in the factory: command assets, and the program that they call."""

from __future__ import annotations

import re
from typing import Any

from headrace_import.importers.adf import dates
from headrace_import.importers.adf.activities import Activity
from headrace_import.importers.adf.drafts import Draft, Names
from headrace_import.importers.adf.evaluate import resolve
from headrace_import.importers.adf.reading import object_of, text_at
from headrace_import.importers.adf.schedules import Schedule
from headrace_import.importers.adf.values import Moment, Unknown

PROGRAM = "jobs/run_activity.py"
PROGRAM_TEXT = '''"""Runs one activity of a pipeline in its factory and waits for its end.

    python3 jobs/run_activity.py PIPELINE ACTIVITY [--parameter NAME=VALUE] [--start NAME[:FORMAT]]

The activity runs in a pipeline of its own, `headrace-PIPELINE-ACTIVITY`, which is written into the
factory from the definition that the factory has now. `az` must be logged in; the environment names
the factory: ADF_RESOURCE_GROUP, ADF_FACTORY, and ADF_KIND=synapse for a Synapse workspace.
"""

import argparse
import datetime
import json
import os
import re
import subprocess
import sys
import time

POLL_SECONDS = 15
CONTAINERS = ("activities", "ifTrueActivities", "ifFalseActivities", "defaultActivities")


def az(*arguments):
    done = subprocess.run(["az", *arguments, "--output", "json"], stdout=subprocess.PIPE)
    if done.returncode:
        sys.exit(75)  # Headrace tries again
    return json.loads(done.stdout or b"null")


def factory():
    if os.environ.get("ADF_KIND") == "synapse":
        return "synapse", ["--workspace-name", os.environ["ADF_FACTORY"]]
    where = ["--resource-group", os.environ["ADF_RESOURCE_GROUP"]]
    return "datafactory", [*where, "--factory-name", os.environ["ADF_FACTORY"]]


def find(activities, path):
    name, _, rest = path.partition("/")
    for activity in activities:
        if activity["name"] == name:
            if not rest:
                return activity
            settings = activity.get("typeProperties", activity)
            inner = [one for key in CONTAINERS for one in settings.get(key) or []]
            inner += [one for case in settings.get("cases") or [] for one in case["activities"]]
            return find(inner, rest)
    sys.exit(f"the pipeline has no activity {path}")


def parameters(arguments):
    values = dict(one.split("=", 1) for one in arguments.parameter)
    with open(os.environ["HEADRACE_CONTEXT"], encoding="utf-8") as file:
        interval = json.load(file)["interval"] or {}
    for bound, names in (("start", arguments.start), ("end", arguments.end)):
        for one in names:
            name, _, pattern = one.partition(":")
            when = datetime.datetime.fromisoformat(interval[bound])
            values[name] = when.strftime(pattern) if pattern else when.isoformat()
    return values


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("pipeline")
    parser.add_argument("activity")
    for option in ("--parameter", "--start", "--end"):
        parser.add_argument(option, action="append", default=[])
    arguments = parser.parse_args()
    service, where = factory()
    shown = az(service, "pipeline", "show", *where, "--name", arguments.pipeline)
    activity = {**find(shown["activities"], arguments.activity), "dependsOn": []}
    kept = {key: shown[key] for key in ("parameters", "variables") if shown.get(key)}
    name = re.sub("[^A-Za-z0-9]+", "-", f"headrace-{arguments.pipeline}-{arguments.activity}")[:140]
    definition = json.dumps({**kept, "activities": [activity]})
    option = "--file" if service == "synapse" else "--pipeline"
    az(service, "pipeline", "create", *where, "--name", name, option, definition)
    passed = json.dumps(parameters(arguments))
    run = az(service, "pipeline", "create-run", *where, "--name", name, "--parameters", passed)
    while True:
        found = az(service, "pipeline-run", "show", *where, "--run-id", run["runId"])
        if found["status"] in ("Succeeded", "Failed", "Cancelled"):
            break
        time.sleep(POLL_SECONDS)
    print(found["status"], run["runId"], found.get("message") or "")
    sys.exit(0 if found["status"] == "Succeeded" else 1)


main()
'''
_TIMEOUT = re.compile(r"(?:(\d+)\.)?(\d{1,2}):(\d{2}):(\d{2})")


def command_draft(activity: Activity, names: Names, folder: str, schedule: Schedule) -> Draft:
    """Return the asset that runs an activity in its factory."""
    path = activity.id.split("/", 1)[1]
    fields: dict[str, Any] = {}
    if activity.description:
        fields["description"] = activity.description
    fields["materialize"] = "none"
    fields |= policy(activity)
    options = list(_options(activity, schedule))
    pipeline = activity.pipeline.resource.name
    fields["command"] = ["python3", PROGRAM, *options, "--", pipeline, path]
    name = names.take(activity.name, f"{folder}_{activity.name}")
    return Draft("command", name, folder, fields)


def wait_draft(activity: Activity, seconds: int, names: Names, folder: str) -> Draft:
    """Return the asset of a Wait."""
    fields: dict[str, Any] = {}
    if activity.description:
        fields["description"] = activity.description
    fields |= {"materialize": "none", "command": ["sleep", str(seconds)]}
    if seconds > 3000:
        fields["timeout"] = f"{seconds // 60 + 10}m"
    return Draft("command", names.take(activity.name, f"{folder}_{activity.name}"), folder, fields)


def policy(activity: Activity) -> dict[str, Any]:
    """Return timeout and attempts of an activity's policy."""
    given = object_of(activity.raw, "policy")
    fields: dict[str, Any] = {}
    match = _TIMEOUT.fullmatch(text_at(given, "timeout"))
    if match is not None:
        days, hours, minutes, _ = (int(digits or 0) for digits in match.groups())
        total = min((days * 24 + hours) * 60 + minutes, 7 * 1440)
        if total:
            fields["timeout"] = f"{total // 60}h" if total % 60 == 0 else f"{total}m"
    retry = given.get("retry")
    if isinstance(retry, int) and not isinstance(retry, bool) and 0 <= retry < 100:
        fields["attempts_max"] = retry + 1
    return fields


def _options(activity: Activity, schedule: Schedule) -> list[str]:
    """Return the pipeline's parameters that the activity uses, where they aren't defaults."""
    options: list[str] = []
    written = activity.raw.original.lower()
    defaults = object_of(activity.pipeline.resource.raw, "parameters")
    for name, value in activity.pipeline.scope.parameters.items():
        if f"parameters.{name.lower()}" not in written:
            continue
        default = defaults.get(name)
        if isinstance(value, Moment):
            options += _moment_option(name, value, schedule)
        elif isinstance(value, str | int | float | bool) and not (
            isinstance(default, dict) and default.get("defaultValue") == value
        ):
            options += ["--parameter", f"{name}={value}"]
    return options


def _moment_option(name: str, instant: Moment, schedule: Schedule) -> list[str]:
    pattern = dates.strftime(instant.format) if instant.format else ""
    bound = {"start": "--start", "end": "--end", "scheduled": "--end"}.get(instant.bound)
    if not schedule.partition or instant.shift or pattern is None or bound is None:
        return []
    return [bound, f"{name}:{pattern}" if pattern else name]


def command_todo(activity: Activity, schedule: Schedule) -> str:
    """Return what a command lacks that the files don't say; empty if it lacks nothing."""
    missing = missing_parameters(activity, schedule)
    names = ", ".join(f"`{name}`" for name in missing)
    notes = [f"add `--parameter NAME=VALUE` to its command for {names}"] if missing else []
    name = activity.pipeline.resource.name
    if re.search(r"\[\w+\]|\*", name):
        notes.append(f"write the pipeline's name in the factory into its command for `{name}`")
    return "; ".join(notes)


def missing_parameters(activity: Activity, schedule: Schedule) -> list[str]:
    """Return the pipeline's parameters that an activity uses and that the files give no value."""
    written = activity.raw.original.lower()
    missing: list[str] = []
    for name in object_of(activity.pipeline.resource.raw, "parameters"):
        value = activity.pipeline.scope.parameters.get(name, Unknown("it has no value"))
        if f"parameters.{name.lower()}" not in written:
            continue
        unsaid = isinstance(value, Moment) and not _moment_option(name, value, schedule)
        if unsaid or isinstance(resolve(value, activity.pipeline.scope), Unknown):
            missing.append(name)
    return missing
