"""From evidence to causes: a pure function, one file a cause in `rules/`.

`evidence` is what was seen, `causes` what it is put down to, `attribution` how: the most upstream explanation of all symptoms,
in the order in which things happened. Nothing here reads a store or a clock.
"""
