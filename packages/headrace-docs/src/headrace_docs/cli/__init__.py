"""`headrace docs` on a terminal."""
