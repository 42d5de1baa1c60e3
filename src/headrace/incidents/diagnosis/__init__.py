"""From evidence to causes: a pure function with one table of rules (`rules`).

`evidence` is what was observed, `headrace.model.causes` is what it is attributed to, and
`attribution` finds the most upstream explanation of all symptoms, in the order in which things
happened. Nothing here reads a store or a clock.
"""
