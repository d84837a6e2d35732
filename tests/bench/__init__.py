"""What ``make bench`` runs: detseg beside other ways to the same answers. No test: it asserts no time."""
