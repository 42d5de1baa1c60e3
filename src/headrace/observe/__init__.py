"""What the facts in the store mean for the people who wait: obligations, freshness, status.

`obligations`, `blockage`, `freshness` and `status` are pure: they ask a `World` and a given now. `facts` is the
world as the store has it, `persist` writes down what became due and when it was met.
"""
