"""Tests, and programs that run them at length."""

import os

# Tests start programs while gRPC's threads run here. What gRPC does when a process forks is for children that go on
# with gRPC; ours become other programs at once, and one in twenty died of it. Read when gRPC is imported.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
