"""Sending messages: from a process of its own, so that a channel that hangs or refuses delays nobody."""
