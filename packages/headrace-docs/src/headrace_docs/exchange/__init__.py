"""A project in the formats of catalogues and architects, each from a description, without state."""
