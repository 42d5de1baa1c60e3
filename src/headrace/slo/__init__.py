"""Service levels: obligations, freshness, the states of consumers, availability and goodput.

Most modules are pure: they take `facts.StateFacts` and a given time. `stored_facts` reads the facts
from the store, `obligation_records` writes obligations, and every view renders an `evaluation`.
"""
