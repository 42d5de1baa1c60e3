"""The command line: parses arguments, calls operations, prints responses for people or as JSON."""
