"""What `make check-machines` runs on another machine: Obj and survivors, small.

It prints a JSON object with bytes resident at the start, with all objects, when they are
freed, and with a random 0.1 % of other objects left; and the page floor then.
"""

import gc
import json
import os
import random

import obmalloc

COUNT = 400_000


def resident():
    """Bytes, by the kernel of the machine that emulates, whatever pages are emulated."""
    with open('/proc/self/status') as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith('VmRSS:'))


class Obj:
    def __init__(self):
        self.x = 1


seen = {'active': obmalloc.active(), 'page_size': os.sysconf('SC_PAGE_SIZE'), 'base': resident()}
made = [Obj() for _ in range(COUNT)]
seen['peak'] = resident()
del made
gc.collect()
obmalloc.trim()
seen['freed'] = resident()

random.seed(1)
made = [(number, number + 10**6, str(number)) for number in range(COUNT)]
kept = random.sample(made, COUNT // 1000)
del made
gc.collect()
obmalloc.trim()
obmalloc.check()
stats = obmalloc.stats()
seen['survivors'] = resident()
seen['floor'] = stats['floor_pages'] * stats['page_size']
print(json.dumps(seen))
