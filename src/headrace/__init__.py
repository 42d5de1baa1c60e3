"""Headrace: the data pipeline orchestrator whose numbers can't lie."""

__version__ = "0.1.0"
