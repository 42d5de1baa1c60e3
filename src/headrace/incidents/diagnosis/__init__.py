"""From evidence to causes: a pure function; the rules stand in one table (`rules`).

`evidence` is what was observed, `headrace.model.causes` what it is attributed to, `attribution` how: the most upstream explanation of all
symptoms, in the order in which things happened. Nothing here reads a store or a clock.
"""
