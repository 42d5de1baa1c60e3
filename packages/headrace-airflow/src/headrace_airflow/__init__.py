"""Airflow DAGs that wait for what Headrace publishes, and start what it computes."""

from __future__ import annotations

from typing import Any

from headrace_airflow.hook import HeadraceHook
from headrace_airflow.operators import HeadraceRunOperator
from headrace_airflow.sensors import HeadracePartitionSensor

__all__ = ["HeadraceHook", "HeadracePartitionSensor", "HeadraceRunOperator", "get_provider_info"]


def get_provider_info() -> dict[str, Any]:
    """Return what Airflow's list of providers says about this package."""
    return {
        "package-name": "headrace-airflow",
        "name": "Headrace",
        "description": "Wait for what Headrace publishes, and start what it computes.",
        "connection-types": [
            {
                "hook-class-name": "headrace_airflow.hook.HeadraceHook",
                "connection-type": "headrace",
            }
        ],
    }
