"""The JSON of the command, and of the leader's steps."""
