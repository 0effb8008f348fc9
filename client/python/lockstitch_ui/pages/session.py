"""A session: its timeline, state and tabs."""

from starlette.routing import BaseRoute

routes: list[BaseRoute] = []
