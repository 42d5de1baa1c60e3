"""How consumers were served over a window of time, as known now and as known then (SEMANTICS §7).

`timeline` is pure: what was promised, met, looked at and found wrong becomes spans of states. `gathering` reads that from the store,
`score` turns spans into figures that round towards the bad side.
"""
