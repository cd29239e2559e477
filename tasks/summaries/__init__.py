"""Summaries: how documents become few sentences, step by step, and where each sentence comes from."""
