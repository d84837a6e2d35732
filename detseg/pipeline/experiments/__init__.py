"""Which images are put before people in another way than usual, to measure people and help; and how."""
