"""The process: start, listening, identification of callers, metrics, shutdown."""
