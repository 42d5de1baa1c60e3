"""The simulator: the real core in a simulated world of workers, sources, crashes and lost messages, driven by a seed.

`python -m headrace.scheduler.simulation --seed N` plays one seed, `--seeds N` many. docs/explanation/simulation.md lists what is simulated
and which invariants must hold.
"""
