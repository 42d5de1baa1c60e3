"""File formats of sources. One file per format, registered by `@reads`; `registry.reader(kind)`
returns it.
"""
