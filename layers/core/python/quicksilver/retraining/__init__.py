"""Retraining: from one request with its evidence to a gated model version in shadow. It never promotes by itself."""
