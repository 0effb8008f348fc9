"""The way of a save from its request to the batch that stores it."""
