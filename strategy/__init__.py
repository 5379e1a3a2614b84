"""Strategy: features, models, and the decision on a closed bar."""
