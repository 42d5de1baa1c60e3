"""One file a command: a function from a Session to a typed document."""
