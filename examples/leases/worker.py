"""A worker that wants to bring every session forward, one step at a time, and works only where it holds the lease.

python worker.py TARGET NAME STEPS SESSION...
"""

import random
import sys
import time

import lockstitch
from lockstitch import Checkpoint, json_text

TTL = 2.0
BURST = 3
"""Steps that a worker makes before it gives a session to the others."""


def step_of(latest: lockstitch.Latest) -> int:
    return latest.checkpoint.step if latest.checkpoint is not None else 0


def work(client: lockstitch.Client, session: str, name: str, steps: int) -> bool:
    """Bring a session forward. Gives whether it has come to its end."""
    with client.session(session).runner(holder=name, ttl=TTL) as runner:
        done = step_of(runner.latest)
        for step in range(done + 1, min(done + BURST, steps) + 1):
            time.sleep(random.uniform(0.0, 0.02))  # the work; whoever is frozen here wakes up late
            checkpoint = Checkpoint(session_id=session, step=step)
            checkpoint.metadata.update(worker=json_text(name), token=str(runner.lease_token))
            outcome = runner.save(checkpoint).outcome
            print(f"{session} step {step}: {outcome.name}", flush=True)
        return step_of(client.load_latest(session)) >= steps


def main(target: str, name: str, steps: int, sessions: list[str]) -> None:
    left = set(sessions)
    with lockstitch.Client(target) as client:
        while left:
            session = random.choice(sorted(left))
            try:
                if work(client, session, name, steps):
                    left.discard(session)
            except lockstitch.LeaseHeld:
                time.sleep(0.02)
            except lockstitch.LeaseLost:
                print(f"{session}: the lease is lost, and nothing was written", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:])
