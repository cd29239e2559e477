"""What Anthropic's clients ask."""
