"""What differs between two checkpoints."""

from starlette.routing import BaseRoute

routes: list[BaseRoute] = []
