"""Advice for projects of Headrace: `optimize`, `ab`, `what-if`, `bottleneck` and `complexity`."""
