"""Images: a pool of threads decodes photographs, makes thumbnails and encodes them.

After reports on thumbnail services with Pillow whose workers keep tens of MiB for each thread.
"""
import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image, ImageFilter

import phases

THREADS = 8
SIZES = ((1200, 900), (1600, 1200), (2400, 1600), (640, 480))
THUMBNAIL = (320, 320)


def photograph(number: int) -> bytes:
    """Return a JPEG with gradients."""
    width, height = SIZES[number % len(SIZES)]
    across = Image.linear_gradient("L").resize((width, height))
    turned = Image.radial_gradient("L").resize((width, height))
    with io.BytesIO() as stream:
        Image.merge("RGB", (across, turned, across.rotate(180))).save(stream, "JPEG", quality=80)
        return stream.getvalue()


def prepare(_: int, folder: Path) -> None:
    """Write a photograph of each size."""
    for number in range(len(SIZES)):
        (folder / f"{number}.jpeg").write_bytes(photograph(number))


def thumbnail(path: Path) -> bytes:
    """Return a small PNG of a photograph."""
    with Image.open(path) as image:
        image.load()
        sharp = image.filter(ImageFilter.SHARPEN).rotate(3)
        sharp.thumbnail(THUMBNAIL)
    with io.BytesIO() as stream:
        sharp.save(stream, "PNG")
        return stream.getvalue()


def work(images: int, folder: Path) -> list[bytes]:
    """Make thumbnails; return some of them."""
    with ThreadPoolExecutor(THREADS) as pool:
        made = list(pool.map(thumbnail, (folder / f"{number % len(SIZES)}.jpeg"
                                         for number in range(images))))
    return made[::16]


phases.run("images", work, {"images": 32}, prepare)
