"""Copies move no payload: neither over the network nor through Python."""

import time
import tracemalloc

from lockstitch.v1.checkpoint_pb2 import Checkpoint, Message, MessagesDelta, StateDelta
from lockstitch.v1.checkpoint_service_pb2 import SaveRequest
from tests.conformance.builders import assert_same, latest, load, save
from tests.conformance.session_builders import copy
from tests.support.api import RawApi

STEPS = 1000
STEP_BYTES = 10_000
MOST_MEMORY = 6_000_000
"""What the records of 1,000 checkpoints take in Python, and not what they are about."""
SAVES = 4


async def test_a_large_session(replicas: list[RawApi]) -> None:
    """1,000 steps, 10 MB. In less of the processor's time than 20 saves of its last state take."""
    api = replicas[0]
    for step in range(STEPS):
        await api.save(_save("source", step))
    tracemalloc.start()
    began = time.process_time()
    answer = await copy(api, "source", "target")
    took = time.process_time() - began
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert answer.checkpoint_count == STEPS
    assert peak < MOST_MEMORY
    whole = await latest(api, "target")
    assert whole.state.ByteSize() > STEPS * STEP_BYTES
    middle = f"{STEPS // 2:020d}"
    assert_same((await load(api, "target", middle)).state, (await load(api, "source", middle)).state)
    assert took < await _seconds_of_a_save(api, whole) * 20


async def _seconds_of_a_save(api: RawApi, checkpoint: Checkpoint) -> float:
    began = time.process_time()
    for number in range(SAVES):
        checkpoint.session_id = f"another {number}"
        await save(api, checkpoint)
    return (time.process_time() - began) / SAVES


def _save(session: str, step: int) -> SaveRequest:
    checkpoint = Checkpoint(session_id=session, checkpoint_id=f"{step:020d}", step=step)
    item = Message(role="user", content=f"{step:05d}" * (STEP_BYTES // 5))
    if step == 0:
        checkpoint.state.messages.items.append(item)
        return SaveRequest(checkpoint=checkpoint)
    delta = StateDelta(messages=MessagesDelta(append=[item]))
    return SaveRequest(checkpoint=checkpoint, base_checkpoint_id=f"{step - 1:020d}", delta=delta)
