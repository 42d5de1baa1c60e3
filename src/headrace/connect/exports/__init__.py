"""Exports: files of several formats, local or remote, and database tables. One file per kind."""
