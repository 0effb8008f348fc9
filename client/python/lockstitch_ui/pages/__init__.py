"""The pages: one module each, of handlers and their routes."""
