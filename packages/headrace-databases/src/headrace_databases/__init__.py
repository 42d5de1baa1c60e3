"""Databases for Headrace: rows as sources, tables as targets of exports, and their connections."""
