"""Log lines, to stderr: coloured text for people, JSON for programs.

Everything ends in the same place and looks the same: what structlog's loggers say, what the libraries tell Python's own
`logging`, and warnings.
"""

import logging
import sys
from collections.abc import Mapping
from typing import Any

import structlog
from structlog.typing import EventDict, Processor

from lockstitch_server.config import LogFormat, LogLevel

# What every line gets, from any logger.
_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]

_OURS = "lockstitch_server"
# Libraries that say below these levels what is of no use to an operator. While the database is away, asyncpg's pool
# warns again and again, with a traceback; `database_unavailable` says it once.
_CHATTY = {"alembic": logging.WARNING, "asyncpg.pool": logging.ERROR}


def configure(level: LogLevel, format: LogFormat, **fields: object) -> None:
    """Set up logging for the whole process. May be called again. `fields` are in every line."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(_resolve(format), fields))
    # `debug` is about this server: libraries would bury its lines under one for every statement they run.
    logging.basicConfig(handlers=[handler], level=_of_libraries(level), force=True)
    logging.getLogger(_OURS).setLevel(level.upper())
    logging.captureWarnings(True)
    for name, least in _CHATTY.items():
        logging.getLogger(name).setLevel(least)


def _of_libraries(level: LogLevel) -> str:
    return "INFO" if level == "debug" else level.upper()


def _resolve(format: LogFormat) -> LogFormat:
    if format == "auto":
        return "console" if sys.stderr.isatty() else "json"
    return format


def _formatter(format: LogFormat, fields: Mapping[str, object]) -> logging.Formatter:
    def add_fields(_logger: Any, _method: str, line: EventDict) -> EventDict:
        return {**line, **fields}

    meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*_SHARED, structlog.stdlib.ExtraAdder()],
        processors=[meta, add_fields, *_renderers(format)],
    )


def _renderers(format: LogFormat) -> list[Processor]:
    # Tracebacks are plain ones: those with local variables would put what clients store, and passwords, into the log.
    if format == "console":
        plain = structlog.dev.plain_traceback
        return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    rename = structlog.processors.EventRenamer("message")
    return [structlog.processors.format_exc_info, rename, structlog.processors.JSONRenderer(ensure_ascii=False)]
