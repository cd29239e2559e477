"""What Anthropic's clients are answered."""
