"""The protocols that the load is spoken in, by hand: a client library would cost as much as the server it measures."""
