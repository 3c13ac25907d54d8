"""Home states: the current states of many entities, each serialised to JSON when it changes.

After Home Assistant's choice of an allocator, for which its developers published the peaks of
jemalloc, pymalloc and mimalloc. A state is replaced when it changes, and keeps the JSON that is made
of it. A recorder holds the old ones until it writes them after a round of changes, and a client that
connects then is sent all states at once.
"""
import json

import phases

ROUNDS = 8                  # of changes, each of all entities
KINDS = "sensor", "light", "climate", "media_player", "device_tracker"
NAMED = 100                 # one of so many entities stays


class State:
    """What an entity was at some time."""

    __slots__ = "entity_id", "value", "attributes", "context", "changed", "as_json"

    def __init__(self, entity_id: str, number: int, change: int):
        self.entity_id = entity_id
        self.value = f"{(number * 7919 + change * 31) % 4001 / 10}"
        self.attributes = {
            "friendly_name": f"Entity {number}", "unit_of_measurement": "\u00b0C",
            "supported_features": number % 64, "brightness": number * change % 256,
            "rgb_color": [number % 256, change % 256, 128],
            "options": [f"option {part}" for part in range(number % 12)],
            "history": [round(part * 1.25 + change, 2) for part in range(number % 7)]}
        self.context = {"id": f"{number:013}{change:013}", "parent_id": None, "user_id": None}
        self.changed = 1.7e9 + number + change / 7
        self.as_json = json.dumps({
            "entity_id": entity_id, "state": self.value, "attributes": self.attributes,
            "last_changed": self.changed, "context": self.context}).encode("utf-8")


def work(entities: int, _) -> list[State]:
    """Change the states of so many entities some times; return the states that stay."""
    states: dict[str, State] = {}
    queue: list[State] = []
    written = 0
    for change in range(ROUNDS):
        for number in range(entities):
            entity_id = f"{KINDS[number % len(KINDS)]}.entity_{number}"
            old = states.get(entity_id)
            states[entity_id] = State(entity_id, number, change)
            if old is not None:
                queue.append(old)
        message = b"[" + b",".join(state.as_json for state in states.values()) + b"]"
        assert len(json.loads(message)) == entities
        written += len(b"\n".join(state.as_json for state in queue))
        queue.clear()
    assert written > entities * 200 * (ROUNDS - 1)
    return list(states.values())[::NAMED]


phases.run("home_states", work, {"entities": 16_000})
