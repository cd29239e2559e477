"""What OpenAI's clients send, read into our typed requests."""
