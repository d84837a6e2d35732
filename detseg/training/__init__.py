"""Fine-tuning on dataset versions. Beside ``models``, the only room that knows torch and transformers."""
