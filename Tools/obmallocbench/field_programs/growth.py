"""Growth: a list by ten million appends, a bytearray piece by piece to 100 MB."""
import phases

PIECE = b"0123456789" * 100
LIST_SHARE = 100_000        # appends for each MB of the bytearray


def work(megabytes: int, _) -> list[int]:
    """Grow the list, drop it, grow the bytearray, drop it; return the lengths."""
    numbers: list[None] = []
    append = numbers.append
    for _ in range(LIST_SHARE * megabytes):
        append(None)
    lengths = [len(numbers)]
    del numbers, append
    body = bytearray()
    for _ in range(megabytes * 1000):
        body += PIECE
    lengths.append(len(body))
    assert lengths == [LIST_SHARE * megabytes, megabytes * 1_000_000] and body.endswith(PIECE)
    return lengths


phases.run("growth", work, {"megabytes": 100})
