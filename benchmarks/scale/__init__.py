"""Several servers on one Postgres: what a save costs, what one primary can take, and what a number of agents needs."""
