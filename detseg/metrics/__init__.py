"""Metrics of the model and of people's changes: records in, frozen results out. Undefined is None."""
