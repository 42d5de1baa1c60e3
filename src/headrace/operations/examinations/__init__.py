"""What `doctor` examines: one file an area, each a generator of findings."""
