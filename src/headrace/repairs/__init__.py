"""What repairs an incident or a partition; read by `fix`, `why`, `incident` and messages."""
