"""Anomalies of a partition, compared with earlier partitions. Pure: metrics in, anomalies out."""

from headrace.checks.anomalies.evaluation import EvaluatedPartition, evaluate_partition
from headrace.checks.anomalies.explanations import Peer
from headrace.checks.anomalies.history import MetricHistory
from headrace.checks.anomalies.row_anomalies import PublishedContent

__all__ = ["EvaluatedPartition", "MetricHistory", "Peer", "PublishedContent", "evaluate_partition"]
