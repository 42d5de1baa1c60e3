"""Data about people: masks, what `retain:` keeps, and where an erasure finds a subject."""
