"""Reranking over HTTP."""
