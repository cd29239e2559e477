"""`forebay conformance`: OpenAI's own tests of its Python client, run against a throw-away platform."""
