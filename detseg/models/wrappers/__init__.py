"""Predictors around predictors: tiles, views, a committee, refinement. None of them knows torch."""
