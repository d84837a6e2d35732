"""Three rounds of a loop that learns, with simulated people: what help saves, and what it does to labels."""
