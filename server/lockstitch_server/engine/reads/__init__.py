"""Loads, lists, walks and watches."""
