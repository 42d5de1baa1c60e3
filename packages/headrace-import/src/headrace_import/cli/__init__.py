"""`headrace import` on a terminal."""
