"""Sessions as a whole, and which checkpoints stay."""

from pydantic import Field

from lockstitch_server.config.fields import MOST_SECONDS, Group


class SessionSettings(Group):
    """Defaults for whole sessions, if the request does not say."""

    lease_seconds: float = Field(
        default=30.0,
        ge=1,
        le=86_400,
        allow_inf_nan=False,
        description="Duration of a lease if the request does not say.",
    )
    tombstone_seconds: float = Field(
        default=3600.0,
        ge=0,
        le=31_622_400,
        allow_inf_nan=False,
        description="Time for which a deleted session cannot be created again.",
    )
    heartbeat_seconds: float = Field(
        default=10.0,
        ge=1,
        le=3600,
        allow_inf_nan=False,
        description="Interval of heartbeats of an idle WatchSession.",
    )
    watch_seconds: float = Field(
        default=0.1,
        ge=0.01,
        le=60,
        allow_inf_nan=False,
        description="Interval between two queries for the events of all watched sessions.",
    )


class RetentionSettings(Group):
    """Checkpoints to keep in sessions without a policy of their own. The latest of each namespace always stays."""

    keep_last: int = Field(
        default=0, ge=0, le=2**32 - 1, description="Keep the newest N checkpoints of each namespace. 0 keeps all."
    )
    max_age_seconds: float = Field(
        default=0.0,
        ge=0,
        le=3_162_240_000,
        allow_inf_nan=False,
        description="Delete checkpoints that were saved longer ago than this. 0 keeps all.",
    )
    sweep_seconds: float = Field(
        default=60.0,
        ge=0,
        le=MOST_SECONDS,
        allow_inf_nan=False,
        description="Pause between two sweeps. A sweep applies retention and deletes the rest of expired and deleted "
        "sessions. Of all servers on a database, one sweeps at a time. 0: this server never sweeps.",
    )
    sweep_sessions: int = Field(
        default=100, ge=1, le=100_000, description="Sessions that a sweep visits before it pauses."
    )
    sweep_pause_seconds: float = Field(
        default=0.05,
        ge=0,
        le=3600,
        allow_inf_nan=False,
        description="Pause after each transaction of a sweep. It is longer while saves wait, up to 10 s.",
    )
