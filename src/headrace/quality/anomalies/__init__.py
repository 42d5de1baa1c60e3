"""What is odd about a partition, told from those before it. Pure: figures in, facts out."""

from headrace.quality.anomalies.history import History
from headrace.quality.anomalies.judge import Partition, judge
from headrace.quality.anomalies.peers import Peer
from headrace.quality.anomalies.stale import Version

__all__ = ["History", "Partition", "Peer", "Version", "judge"]
