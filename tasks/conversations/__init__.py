"""Conversations: items that clients and responses put into them, in order. Knows no job: it is told what was said."""
