"""Training of the shipped checkpoints on the made-up scenes: ``python -m detseg.samples.train``."""
