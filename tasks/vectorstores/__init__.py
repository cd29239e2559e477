"""Vector stores: collections whose documents are made of kept files, as OpenAI has them."""
