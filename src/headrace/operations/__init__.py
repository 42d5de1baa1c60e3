"""One file a verb: a function from a Session to a typed document."""
