"""Experiments: images that annotators get in another way than usual, to measure people and help."""
