"""The fault laboratory: a project of twenty assets with four weeks of history, one fault of each
kind, and what Headrace says of it.

`shapes` is the random world, `deliveries` its days, `declarations` the project, `faults` what is
done to it, `driving` runs the product, `truth` knows what should be said, `scenario` plays one
fault and `verdict` judges it. Names, schemas and sizes come from the seed alone, so that nothing
can be fitted to them.
"""
