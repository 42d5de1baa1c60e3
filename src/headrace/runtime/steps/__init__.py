"""Steps of an attempt in a worker: ingest, compute, audit, export.

The leader publishes the results (`runtime.publishing`).
"""
