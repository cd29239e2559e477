"""Anthropic's dialect: its requests, its answers, its errors."""
