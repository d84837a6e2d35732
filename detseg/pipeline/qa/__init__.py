"""QA: what people made of the predictions, measured in one pass over the catalog."""
