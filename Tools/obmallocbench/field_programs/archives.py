"""gzip and zip in memory: files are packed, unpacked, compared and dropped."""
import gzip
import io
import random
import zipfile

import phases

SEED = 2005
KEPT = 25                   # one of so many files is remembered by its checksum


def new_file(chance: random.Random) -> bytes:
    """Return text of 1 KB to 256 KB, small ones more often."""
    size = int(2 ** chance.uniform(10, 18))
    return b"".join(b"%d,%d;" % (size, chance.randrange(1000)) for _ in range(size // 10))


def work(files: int, _) -> list[int]:
    """Pack files one by one and all together, unpack them; return some checksums."""
    chance = random.Random(SEED)
    made = [new_file(chance) for _ in range(files)]
    packed = [gzip.compress(file, 6) for file in made]
    assert [gzip.decompress(file) for file in packed] == made
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, file in enumerate(made):
            archive.writestr(f"{number}.csv", file)
    with zipfile.ZipFile(stream) as archive:
        for number, file in enumerate(made):
            assert archive.read(f"{number}.csv") == file
        return [one.CRC for one in archive.infolist()[::KEPT]]


phases.run("archives", work, {"files": 480})
