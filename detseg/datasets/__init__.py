"""Dataset versions: labels as they were at a moment, immutable, named, compared and read again."""
