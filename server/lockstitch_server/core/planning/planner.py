"""Plans what a batch of operations writes: a pure function of the operations and of what is known of their sessions.

Operations of one session see what the operations before them did. If a fact is not known, the plan asks for all facts
that the batch needs; the caller reads them and plans again from the start.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from lockstitch_server.core.errors import Failure
from lockstitch_server.core.format.rows import ExpectedVersion, SessionChange
from lockstitch_server.core.planning.changes import SessionChanges
from lockstitch_server.core.planning.facts import Facts, Missing, NotKnown, SessionFacts
from lockstitch_server.core.planning.limits import PlanSettings
from lockstitch_server.core.planning.operations import Operation, Result, Save
from lockstitch_server.core.planning.saves import plan_save
from lockstitch_server.core.planning.writes import plan_writes
from lockstitch_server.core.sessions.leases import check_not_deleted


@dataclass(frozen=True, slots=True)
class Plan:
    """What a batch does to the database, and the results of its operations."""

    expected: list[ExpectedVersion]
    """The versions of the sessions that the plan is made for."""
    changes: list[SessionChange]
    results: list[Result | Failure]
    sessions: dict[bytes, SessionFacts]
    """What is known of the sessions once the changes have been made."""


def plan(operations: Sequence[Operation], facts: Facts, settings: PlanSettings, now: int) -> Plan | Missing:
    """Plan a batch. An operation that fails changes nothing, and its neighbours go on.

    now: the database's time in ns, about which facts that come from the cache may be wrong.
    """
    missing = Missing()
    sessions: dict[bytes, SessionChanges] = {}
    results: list[Result | Failure] = []
    for operation in operations:
        known = facts.get(operation.key)
        if known is None or not (known.is_locked or known.allows(operation, now)):
            missing.sessions.add(operation.key)
            continue
        try:
            session = sessions.get(operation.key)
            if session is None:
                session = sessions[operation.key] = SessionChanges(known, operation, missing, now)
            results.append(_planned(operation, session, settings, now))
        except Failure as failure:
            results.append(failure)
        except NotKnown:  # the operations that follow are planned all the same, for what they ask
            pass
    return missing if missing.count else _finished(sessions, results, settings)


def _planned(operation: Operation, session: SessionChanges, settings: PlanSettings, now: int) -> Result:
    session.ask_for_all(operation)
    check_not_deleted(session.row)
    if isinstance(operation, Save):
        return plan_save(operation, session, settings, now)
    return plan_writes(operation, session, settings, now)


def _finished(sessions: dict[bytes, SessionChanges], results: list[Result | Failure], settings: PlanSettings) -> Plan:
    changes: list[SessionChange] = []
    known: dict[bytes, SessionFacts] = {}
    for key, session in sessions.items():
        change, facts = session.finish(settings.row_sizes)
        if change is not None:
            changes.append(change)
        if facts is not None:
            known[key] = facts
    return Plan([session.expected for session in sessions.values()], changes, results, known)
