"""Training in epochs: ``fit``, its records and its checkpoints."""
