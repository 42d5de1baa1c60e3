"""One file a command: its arguments, the operation it calls, and how the document looks to people."""
