"""The runtime around the core: the leader and its loop, warm workers, and the steps that an attempt is made of.

The leader holds the state and never runs user code; workers run it and never see the state.
"""
