"""Training: the loop, its schedules and checkpoints."""
