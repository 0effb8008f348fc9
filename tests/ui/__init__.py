"""The session explorer, over real servers and in a real browser."""
