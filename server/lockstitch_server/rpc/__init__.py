"""The gRPC edge: requests are checked, handlers answer them, errors become statuses."""
