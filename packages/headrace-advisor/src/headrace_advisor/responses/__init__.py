"""The JSON responses of the commands of advice."""
