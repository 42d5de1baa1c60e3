"""What Headrace costs: each file prints one document with its figures; `make bench` writes
RESULTS.md from them.
"""
