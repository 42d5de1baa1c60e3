import polars as pl

from headrace import Context, asset


@asset(owner="core", inputs=["a"], checks=[{"unique": ["k"]}])
def f(ctx: Context, a: pl.LazyFrame):
    return a
