"""One check kind a file; each registers itself. See `headrace.quality.kinds`."""
