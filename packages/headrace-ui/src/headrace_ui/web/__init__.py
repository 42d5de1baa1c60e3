"""The pages' addresses and files, and the stream of saved files."""
