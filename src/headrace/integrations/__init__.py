"""Integrations: notifications, and the emitters of packages.

They read committed rows in a process or a thread of their own, so that another system that is slow
or down delays no run. `emitters` starts those that accompany a leader.
"""
