"""A pickle of a large document of small buffers is loaded and dropped."""
import pickle
import random
from pathlib import Path

import phases

SEED = 2005
KEPT = 500                  # one of so many parts is remembered by its title


def prepare(parts: int, folder: Path) -> None:
    """Write the pickle."""
    chance = random.Random(SEED)
    document = [{"title": f"part {number}", "thumbnail": chance.randbytes(chance.randrange(600, 6000)),
                 "text": f"{number} " * chance.randrange(100, 1500),
                 "at": [step * 0.5 for step in range(chance.randrange(8, 120))]}
                for number in range(parts)]
    with open(folder / "document.pickle", "wb") as stream:
        pickle.dump(document, stream, 4)


def work(parts: int, folder: Path) -> list[str]:
    """Load the document, walk it and drop it; return some titles."""
    with open(folder / "document.pickle", "rb") as stream:
        document = pickle.load(stream)
    assert len(document) == parts
    length = sum(len(part["thumbnail"]) + len(part["text"]) + len(part["at"]) for part in document)
    assert length > 700 * parts
    return [part["title"] for part in document[::KEPT]]


phases.run("pickled_buffers", work, {"parts": 16_000}, prepare)
