"""What `make docs` adds to docs/ for the documentation site."""
