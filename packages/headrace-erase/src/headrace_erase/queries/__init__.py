"""The state's tables as an erasure reads and writes them."""
