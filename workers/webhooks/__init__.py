"""Sending what happened to the places that tenants named."""
