"""Where sessions are stored. `factory` chooses the backend by a URL."""

from lockstitch_server.storage.store import Store, StoreError

__all__ = ["Store", "StoreError"]
