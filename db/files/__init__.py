"""Files of tenants: what each is called, the parts that its bytes came in, and pieces of those that are kept here."""
