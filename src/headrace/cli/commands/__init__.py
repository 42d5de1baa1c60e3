"""Commands, one file per subject. A command is a function; its parameters are its options."""
