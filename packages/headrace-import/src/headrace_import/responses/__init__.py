"""The JSON responses of `headrace import`."""
