"""Jobs over HTTP: asked for, looked at, followed, ended."""
