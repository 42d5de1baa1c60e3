"""What the commands do: gather what the caller may see, and write it."""
