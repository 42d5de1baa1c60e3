"""How things stand: what `status`, `why`, figures and the graph say, from one evaluation."""
