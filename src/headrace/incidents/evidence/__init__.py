"""Evidence, gathered from rows of the store, one module per kind of observation.

`incidents.gathering` calls all of them at the end of each evaluation.
"""
