"""Writing the wire format of protobuf, where a message object would cost too much."""
