"""Decides what a batch of operations writes: pure functions of the operations and of known facts."""
