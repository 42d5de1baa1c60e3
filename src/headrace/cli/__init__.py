"""The command line: parses arguments, calls services, prints responses as text or JSON."""
