"""The parts of a push: what the queue lacks, as JSON, in batches, sent once, settled where in doubt."""
