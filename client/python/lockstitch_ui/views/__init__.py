"""What pages show, from what the client returned: pure functions, without I/O."""
