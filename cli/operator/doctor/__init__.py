"""`forebay doctor`: one file a part of the installation; each check is a function that says what it found."""
