"""What an operator does to the platform, beside the API."""
