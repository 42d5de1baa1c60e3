"""One file a verb: its arguments, the operation it calls, and how the document looks to people."""
