"""Telling people: who is told of what, once, when, and in which words."""
