"""Shadows: model versions that score what others answer, from the prediction stream."""
