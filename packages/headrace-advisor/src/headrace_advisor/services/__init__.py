"""What the commands of advice do."""
