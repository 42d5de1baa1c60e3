"""The JSON of the commands, and the description of a project that all files are made of."""
