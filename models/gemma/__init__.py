"""Gemma 3 270M, a real model that is fetched when asked for and when its terms of use are accepted."""
