"""The runtime around the core: leader and loop, warm workers, and the steps of an attempt.

The leader holds the state and never runs user code; workers run it and never see the state.
"""
