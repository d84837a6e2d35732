"""Benchmarks: detseg beside other ways to the same answers, and how its own times grow. Nothing here asserts
a time."""
