"""The simulator: the real core inside a simulated world, where everything that can go wrong does, by a seed.

`python -m headrace.scheduler.simulation --seed N` plays one seed, `--seeds N` many; docs/explanation/simulation.md says what is
simulated and what must hold.
"""
