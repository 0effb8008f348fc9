"""Retention, sweeps, copies, exports, imports, checks, repairs and health."""
