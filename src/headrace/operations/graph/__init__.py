"""The graph as a page can show it: never all of it, but a view of a few dozen cards, with the rest rolled up."""
