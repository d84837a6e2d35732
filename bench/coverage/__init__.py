"""How often intervals hold the truth: simulations whose truth is the generator's, never an estimate."""
