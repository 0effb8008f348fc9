"""Where checkpoints are kept. `open_store` chooses the backend by URL."""

from lockstitch_server.storage.factory import create_store, migrate, migration_script, warnings_about
from lockstitch_server.storage.store import Store, StoreError

__all__ = ["Store", "StoreError", "create_store", "migrate", "migration_script", "warnings_about"]
