"""How each kind of file is read. One file a kind, registered by `@reads`; `registry.reader(kind)` gives it."""
