"""Diagrams in the languages of other tools, from what is declared and what ran, without state."""
