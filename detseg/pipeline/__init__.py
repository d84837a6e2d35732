"""The use cases, free of Prefect: preannotate, collect, evaluate, predict, and the demo's own steps."""
