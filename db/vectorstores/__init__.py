"""Vector stores of tenants: collections that kept files are attached to."""
