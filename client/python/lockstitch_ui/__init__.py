"""The session explorer: web pages over the sessions of a Lockstitch server. `pip install 'lockstitch[cli,ui]'`.

It is a client like any other. `create_app` makes the ASGI application that `lockstitch ui` serves:

    app = create_app(ExplorerSettings(target="127.0.0.1:50051"))
"""

from lockstitch_ui.app import create_app
from lockstitch_ui.settings import ExplorerSettings

__all__ = ["ExplorerSettings", "create_app"]
