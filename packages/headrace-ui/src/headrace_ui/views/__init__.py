"""What pages show, computed from what the services read."""
