"""Webhooks: where tenants want to be told of their jobs' ends, what signs it, and what is to be sent there."""
