"""What stands between calls and the store: batches of saves, shared loads."""
