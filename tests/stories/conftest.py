"""The fixtures of `clilab`: these tests play days of whole projects, by commands."""

from clilab import call, filled, new, shop

__all__ = ["call", "filled", "new", "shop"]
