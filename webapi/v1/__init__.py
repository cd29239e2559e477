"""The API's own dialect, a package a noun: `views` (routes), `requests` (what clients may send), `answers`."""
