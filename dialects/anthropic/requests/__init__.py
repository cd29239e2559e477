"""What Anthropic's clients send, read into our typed requests."""
