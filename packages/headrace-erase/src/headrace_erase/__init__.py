"""Erase the rows of one person everywhere in a Headrace project: `headrace erase`."""
