"""What Lockstitch costs, measured: `python -m benchmarks`, or `make bench`."""
