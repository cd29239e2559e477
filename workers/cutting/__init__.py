"""Texts cut into chunks, by processes of their own."""
