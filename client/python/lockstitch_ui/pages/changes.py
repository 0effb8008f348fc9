"""Changes of sessions. Their routes exist only where the explorer allows changes."""

from starlette.routing import BaseRoute

routes: list[BaseRoute] = []
