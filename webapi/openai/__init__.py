"""OpenAI's dialect: its requests read into ours, our events told in its words."""
