"""A project that is open: its session, and what every command needs of it.

The session knows the folders, the clock, the store and the compiled project. Beside it lie names
and parameters that commands share, selections of nodes, and facts that are read once per request.
"""
