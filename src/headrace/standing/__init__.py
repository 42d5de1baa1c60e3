"""The state of a project: what `status`, `why`, figures and the graph say, from one evaluation."""
