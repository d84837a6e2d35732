"""How good the model is and what people changed: records in, frozen results out. Undefined is None."""
