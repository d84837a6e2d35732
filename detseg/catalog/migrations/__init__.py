"""The catalog's migrations, one file per change in ``versions``; ``detseg.catalog.migrate`` runs them."""
