"""A bench for bodies: given rows in, computed rows out, by the engine's own code in a worker. No lake, no state."""
