"""The scheduled flows: thin over ``detseg.pipeline``, and the only place that knows Prefect."""

import os

# Prefect reads this one from the environment only, as soon as it is imported.
os.environ.setdefault("DO_NOT_TRACK", "1")
