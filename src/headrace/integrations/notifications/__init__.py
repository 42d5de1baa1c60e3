"""Sends notifications from a separate process, so that a channel that hangs delays nothing."""
