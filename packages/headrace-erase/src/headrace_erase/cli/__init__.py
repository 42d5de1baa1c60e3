"""`headrace erase` on a terminal."""
