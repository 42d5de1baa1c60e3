"""The JSON responses of these paths."""
