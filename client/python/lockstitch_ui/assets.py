"""The static files, in memory. Their URLs change with their content, so that browsers can keep them."""

import hashlib
from collections.abc import Mapping
from importlib import resources

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

MEDIA_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
_KEPT = {"cache-control": "public, max-age=31536000, immutable"}


class Assets:
    """Static files by name."""

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        self._contents = dict(contents)
        self.urls = {
            name: f"/static/{name}?v={hashlib.sha256(data).hexdigest()[:12]}" for name, data in contents.items()
        }

    async def serve(self, request: Request) -> Response:
        """One of them."""
        name = request.path_params["name"]
        if name not in self._contents:
            return PlainTextResponse("There is no such file.\n", 404)
        return Response(self._contents[name], media_type=MEDIA_TYPES[name.rpartition(".")[2]], headers=_KEPT)


def load() -> Assets:
    """The files of this package."""
    directory = resources.files("lockstitch_ui") / "static"
    return Assets(
        {file.name: file.read_bytes() for file in directory.iterdir() if file.name.rpartition(".")[2] in MEDIA_TYPES}
    )
