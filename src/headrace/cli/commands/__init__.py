"""The commands, one module per subject. A command's parameters are its arguments and options."""
