"""The plainest dialect: a prompt in, a text out; texts in, an answer from them out."""
