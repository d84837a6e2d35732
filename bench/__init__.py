"""What ``make bench`` runs: detseg beside other ways to the same answers. Nothing here asserts a time."""
