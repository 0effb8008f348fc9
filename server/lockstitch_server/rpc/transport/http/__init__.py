"""The HTTP door: an ASGI application over the handlers that grpc.aio serves, too.

Protocols: native gRPC, gRPC-Web, Connect, and plain JSON over POST, which is Connect without its headers. A protocol is
a `Wire`: it reads the messages of a request and writes those of the response. Everything else is the same for all.
"""
