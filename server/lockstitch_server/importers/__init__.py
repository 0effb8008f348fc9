"""Bringing in what other checkpointers have kept."""
