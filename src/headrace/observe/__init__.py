"""What the facts in the store mean for the people who wait: obligations, freshness, status.

`obligations`, `blockage`, `freshness` and `status` are pure: they ask `StateFacts` and a given now. `facts` reads
them from the store, `persist` writes down what became due and when it was met.
"""
