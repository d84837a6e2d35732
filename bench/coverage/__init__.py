"""Measures how often intervals hold the truth, in simulations whose generator knows it."""
