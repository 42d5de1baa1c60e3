"""Attempts on other machines: the executor of Dask, in the group `headrace.executors`."""
