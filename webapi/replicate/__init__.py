"""Replicate's dialect: predictions, which are jobs by another name."""
