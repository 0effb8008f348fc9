"""Sessions of Google's Agent Development Kit on Lockstitch: `pip install lockstitch[google-adk]`.

    from lockstitch.adapters.google_adk import LockstitchSessionService

    runner = Runner(app_name="desk", agent=agent, session_service=LockstitchSessionService())

docs/google-adk.md has the layout.
"""

from lockstitch.adapters.google_adk._service import LockstitchSessionService

__all__ = ["LockstitchSessionService"]
