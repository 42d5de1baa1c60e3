"""The fixtures of `modellab`, for every test here."""

from modellab import load, parse, write

__all__ = ["load", "parse", "write"]
