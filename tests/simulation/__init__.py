"""The simulator: runs the real core with simulated workers, sources, crashes and lost messages.

A seed determines everything that happens.

`PYTHONPATH=tests python -m simulation --seed N` plays one seed, `--seeds N` many.
docs/explanation/simulation.md lists what is simulated and which invariants must hold.
"""
