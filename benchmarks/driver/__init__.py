"""The process that makes the load: `python -m benchmarks.driver` reads jobs as lines of JSON, and answers in kind."""
