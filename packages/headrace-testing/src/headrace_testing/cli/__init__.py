"""The commands on a terminal."""
