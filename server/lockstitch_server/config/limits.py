"""How much requests, queues and tenants may take."""

from pydantic import Field

from lockstitch_server.config.fields import KIB, LARGEST_MESSAGE, MIB, Bytes, Group, size


class Limits(Group):
    """Limits of one request."""

    max_message_bytes: Bytes = size(
        64 * MIB,
        at_least=KIB,
        at_most=LARGEST_MESSAGE,
        description="Maximum size of a gRPC message, in both directions, and of the state that results from a delta.",
    )
    max_page_bytes: Bytes = size(
        16 * MIB,
        at_least=KIB,
        at_most=LARGEST_MESSAGE,
        description="A page of a list ends when it has reached this size.",
    )
    max_page_size: int = Field(default=1000, ge=1, le=100_000, description="Maximum items in a page of a list.")
    default_page_size: int = Field(
        default=50, ge=1, le=100_000, description="Items in a page if the request does not say."
    )
    max_calls: int = Field(
        default=10_000,
        ge=1,
        le=10_000_000,
        description="Maximum calls in flight in a worker, except health checks. Further calls are UNAVAILABLE.",
    )
    max_connection_calls: int = Field(
        default=4000,
        ge=1,
        le=10_000_000,
        description="Maximum calls in flight on one connection. Further calls wait in the client; a few may be "
        "UNAVAILABLE (REFUSED_STREAM), which clients retry.",
    )
    receive_seconds: float = Field(
        default=300.0,
        ge=0.1,
        le=86_400,
        allow_inf_nan=False,
        description="Maximum time for the request of a call to arrive, except for SaveStream. A slower call ends with "
        "DEADLINE_EXCEEDED. `http.body_seconds` is stricter for slow callers of `http_listen`.",
    )
    max_query_bytes: Bytes = size(
        8 * MIB,
        at_least=KIB,
        at_most=LARGEST_MESSAGE,
        description="Maximum size of a request of a method that saves nothing.",
    )
    max_fields: int = Field(
        default=500_000,
        ge=1000,
        le=100_000_000,
        description="Maximum fields in a request above 256 KiB, including those of nested messages. A save of a "
        "SaveStream with more fails alone.",
    )
    max_metadata_entries: int = Field(
        default=64, ge=0, le=10_000, description="Maximum metadata entries of a checkpoint."
    )
    max_metadata_bytes: Bytes = size(
        64 * KIB,
        at_least=KIB,
        at_most=LARGEST_MESSAGE,
        description="Maximum bytes of all metadata entries of a checkpoint, or of a filter.",
    )
    max_list_items: int = Field(
        default=10_000,
        ge=1,
        le=10_000_000,
        description="Maximum items in a list of nodes, channels, versions or tags.",
    )
    max_writes: int = Field(default=10_000, ge=1, le=1_000_000, description="Maximum pending writes in a request.")
    max_sessions_per_stream: int = Field(
        default=10_000, ge=1, le=1_000_000, description="Maximum sessions in one LoadLatestStream call."
    )
    max_parts: int = Field(
        default=10_000,
        ge=1,
        le=1_000_000,
        description="Maximum extra entries and custom channels in a state, together.",
    )
    max_session_id_bytes: int = Field(
        default=255, ge=1, le=1024, description="Maximum length of a session id, in bytes of UTF-8."
    )
    max_checkpoint_id_bytes: int = Field(
        default=128,
        ge=20,
        le=512,
        description="Maximum length of a checkpoint id, in bytes of UTF-8. At least 20: ids made from steps have 20 "
        "digits.",
    )
    max_namespace_bytes: int = Field(
        default=512, ge=0, le=1024, description="Maximum length of a namespace, in bytes of UTF-8."
    )
    max_session_ids: int = Field(
        default=1000, ge=1, le=100_000, description="Maximum sessions that one request may delete or prune by name."
    )
    max_labels: int = Field(default=64, ge=0, le=10_000, description="Maximum labels of a session.")
    max_lease_seconds: int = Field(
        default=86_400, ge=1, le=31_536_000, description="Maximum duration of a lease without renewal, in seconds."
    )
    max_key_bytes: int = Field(
        default=512,
        ge=1,
        le=2048,
        description="Maximum length of the name of a node, a channel or an extra entry, in bytes of UTF-8.",
    )

    @property
    def query(self) -> tuple[int, str]:
        """Maximum bytes of a request of a method that saves nothing, and the name of the setting."""
        return min((self.max_message_bytes, "max_message_bytes"), (self.max_query_bytes, "max_query_bytes"))


class Queue(Group):
    """Limits of the queues to the database, and of their batches."""

    max_operations: int = Field(
        default=10_000,
        ge=1,
        le=1_000_000,
        description="Maximum saves that wait for the database. Further saves are UNAVAILABLE.",
    )
    max_bytes: Bytes = size(
        256 * MIB,
        at_least=KIB,
        at_most=2**40,
        description="Maximum bytes of saves that wait for the database. Further saves are UNAVAILABLE.",
    )
    batch_operations: int = Field(default=256, ge=1, le=100_000, description="Maximum saves in one transaction.")
    batch_bytes: Bytes = size(
        8 * MIB,
        at_least=KIB,
        at_most=2**40,
        description="Maximum bytes of saves in one transaction, except for a single larger save.",
    )
    max_loads: int = Field(
        default=10_000,
        ge=1,
        le=1_000_000,
        description="Maximum loads that wait for the database. Further loads are UNAVAILABLE.",
    )
    stream_operations: int = Field(
        default=256,
        ge=1,
        le=100_000,
        description="Maximum saves in flight per SaveStream. The server stops reading until one completes.",
    )
    stream_bytes: Bytes = size(
        16 * MIB,
        at_least=KIB,
        at_most=2**40,
        description="Maximum bytes of saves in flight per SaveStream, except for a single larger save.",
    )
    max_answer_bytes: Bytes = size(
        256 * MIB,
        at_least=KIB,
        at_most=2**40,
        description="Maximum bytes of loaded responses that clients have not received yet. Further loads wait, then "
        "are UNAVAILABLE.",
    )
    connection_answer_bytes: Bytes = size(
        64 * MIB,
        at_least=KIB,
        at_most=2**40,
        description="Maximum bytes of such responses on one connection, except for a single larger one.",
    )
    max_request_bytes: Bytes = size(
        256 * MIB,
        at_least=KIB,
        at_most=2**40,
        description="Maximum bytes of requests that have arrived in part on `http_listen`, or that wait to be unpacked "
        "or parsed. At least twice the largest message is used. A tenant may hold as much as it leaves free, so at "
        "most half. Further requests are RATE_LIMITED.",
    )
    load_batch: int = Field(
        default=64, ge=1, le=100_000, description="Maximum loads that share one trip to the database."
    )


class Tenants(Group):
    """Limits of one tenant in a worker. 0: only the limits of the server apply."""

    calls_per_second: float = Field(
        default=0.0,
        ge=0,
        le=1_000_000,
        allow_inf_nan=False,
        description="Maximum calls, and saves on streams, that start per second. Further calls wait for "
        "`max_wait_seconds`, then are RATE_LIMITED. Saves on streams wait.",
    )
    burst_calls: int = Field(
        default=100, ge=1, le=1_000_000, description="Calls that may start at once after a time with fewer calls."
    )
    max_wait_seconds: float = Field(
        default=1.0, ge=0, le=60, allow_inf_nan=False, description="Maximum time that a call waits for its turn."
    )
    max_calls: int = Field(
        default=0, ge=0, le=1_000_000, description="Maximum calls in flight. Further calls are RATE_LIMITED."
    )
    max_waiting_saves: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="Maximum saves that wait for the database. Further saves are RATE_LIMITED; streams are read later.",
    )
    max_waiting_bytes: Bytes = size(
        0,
        at_least=0,
        at_most=2**40,
        description="Maximum bytes of saves that wait for the database, except for a single larger save. Further "
        "saves are RATE_LIMITED; streams are read later.",
    )
