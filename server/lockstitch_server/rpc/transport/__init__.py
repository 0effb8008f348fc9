"""The door of grpc.aio: receiving, unpacking and dispatching of calls."""
