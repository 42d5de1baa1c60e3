"""The fixtures of `clilab`, for every test here."""

from clilab import call, filled, new, shop

__all__ = ["call", "filled", "new", "shop"]
