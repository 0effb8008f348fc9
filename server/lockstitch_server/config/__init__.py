"""What an operator can set, as data: names, meanings, defaults and bounds.

Nothing is read here. `cli.settings` gathers the values from flags, the environment and a file.
"""

from lockstitch_server.config.fields import (
    KIB,
    LARGEST_MESSAGE,
    MIB,
    MOST_SECONDS,
    Bytes,
    Listen,
    LogFormat,
    LogLevel,
    StoreUrl,
)
from lockstitch_server.config.http import Http
from lockstitch_server.config.limits import Limits, Queue, Tenants
from lockstitch_server.config.security import Audit, Auth, Tls
from lockstitch_server.config.sessions import RetentionSettings, SessionSettings
from lockstitch_server.config.settings import Settings
from lockstitch_server.config.store import Health, Postgres

__all__ = [
    "KIB",
    "LARGEST_MESSAGE",
    "MIB",
    "MOST_SECONDS",
    "Audit",
    "Auth",
    "Bytes",
    "Health",
    "Http",
    "Limits",
    "Listen",
    "LogFormat",
    "LogLevel",
    "Postgres",
    "Queue",
    "RetentionSettings",
    "SessionSettings",
    "Settings",
    "StoreUrl",
    "Tenants",
    "Tls",
]
