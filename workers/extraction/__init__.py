"""The text of documents, read in a process of its own that hostile files may take with them."""
