"""A module without functions."""
