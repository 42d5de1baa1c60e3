"""Kinds for Headrace: the check `check_digit`, the source `mailbox`, `.ini` files, Markdown."""
