"""Benchmarks: ratios measured in one run, written as JSON. `make bench`."""
