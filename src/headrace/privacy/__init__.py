"""Data about people: masks, and what `retain:` keeps."""
