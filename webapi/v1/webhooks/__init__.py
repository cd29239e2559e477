"""Webhooks over HTTP, and what was sent to them."""
