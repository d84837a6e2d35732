"""Labels under suspicion: rules about one image each, and their findings ranked by what to look at first."""
