"""Evaluates expressions and pipelines with data-factory-testing-framework, in its environment.

Reads `{"expressions": [text], "folder": path, "pipeline": name}` from its input. Prints the values,
each as `{"value": …}` or `{"error": text}`, and the activities in the order in which they ran.
"""

import json
import os
import sys
from typing import Any


def _value(runtime: Any, state: Any, text: str) -> dict[str, Any]:
    try:
        return {"value": runtime.evaluate(text, state)}
    except Exception as error:  # noqa: BLE001  # errors of .NET have no common class
        return {"error": str(error)[:300]}


def _result(value: Any) -> Any:
    return getattr(value, "result", value)


def _ran(folder: str, pipeline: str) -> list[dict[str, Any]]:
    from data_factory_testing_framework import (  # type: ignore[import-not-found]
        TestFramework,
        TestFrameworkType,
    )

    framework = TestFramework(
        TestFrameworkType.DataFactory, root_folder_path=folder, should_evaluate_child_pipelines=True
    )
    found = framework.evaluate_pipeline(framework.get_pipeline_by_name(pipeline), [])
    return [{"name": one.name, "url": _result(one.type_properties.get("url"))} for one in found]


def main() -> None:
    """Answer one request."""
    import pythonnet  # type: ignore[import-not-found]

    pythonnet.load("mono")  # before the framework asks for .NET Core
    from data_factory_testing_framework._expression_runtime.expression_runtime import (  # type: ignore[import-not-found]
        ExpressionRuntime,
    )
    from data_factory_testing_framework.state import (  # type: ignore[import-not-found]
        PipelineRunState,
    )

    request = json.load(sys.stdin)
    runtime, state = ExpressionRuntime(), PipelineRunState()
    values = [_value(runtime, state, text) for text in request["expressions"]]
    ran = [_ran(folder, pipeline) for folder, pipeline in request["factories"]]
    print(json.dumps({"values": values, "ran": ran}), flush=True)
    os._exit(0)  # Mono may hang at the end of the process


main()
