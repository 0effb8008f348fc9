"""What goes on in all of the sessions."""

from starlette.routing import BaseRoute

routes: list[BaseRoute] = []
