"""How checkpoints are stored: rows, manifests and parts."""
