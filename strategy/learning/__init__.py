"""Learning: labels, recipes, validation, the gate and the registry of models."""
