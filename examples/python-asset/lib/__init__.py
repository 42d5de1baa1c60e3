"""Code that several assets use."""
