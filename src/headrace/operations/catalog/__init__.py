"""What there is: sources and assets to be searched, and each of them with all that is known about it."""
