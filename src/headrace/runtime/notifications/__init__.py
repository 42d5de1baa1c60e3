"""Sending notifications, from a separate process: a channel that hangs delays nothing."""
