"""Webhooks: whom they reach, what is sent, and what proves that it is ours."""
