"""The commands of advice on a terminal."""
