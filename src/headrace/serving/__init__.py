"""`serve` and `dev`: a leader until it is told to stop, with maintenance in the background."""
