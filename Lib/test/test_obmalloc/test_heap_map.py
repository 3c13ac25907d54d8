"""obmalloc.heap_map() and obmalloc.resident(): every page, also as Linux sees it."""

import json
import unittest

import obmalloc

from .helpers import ChildTest, has_proc

# Lines that every child here may use.
SETUP = '''
import obmalloc
from obmalloc import _heap_map
'''


class HeapMapTests(ChildTest):
    setup = SETUP

    def test_agrees_with_the_statistics(self):
        # The map itself is made of objects, so the two are taken until nothing
        # has moved between them.
        self.check_child('''
            import gc
            gc.disable()
            objects = [bytes(n % 500) for n in range(60_000)]
            del objects[:50_000:3], objects[-9_000::7]
            for attempt in range(20):
                raw = stats = None
                stats, raw, after = _obmalloc.stats(), _obmalloc.heap_map(), _obmalloc.stats()
                if all(stats[key] == after[key] for key in stats if key.endswith('_pages')):
                    break
            heap = _heap_map.HeapMap(
                page_size=stats['page_size'], run_size=stats['run_size'],
                arena_size=stats['arena_size'], classes=_heap_map.classes_of(stats), arenas=raw)
            kinds = heap.kinds()
            for kind in kinds:
                assert abs(kinds[kind] - stats[kind + '_pages']) <= 2, (kind, kinds, figures())
            pages = [page for arena in heap.arenas for page in arena]
            assert len(pages) * heap.page_size == stats['arena_bytes']
            for row in stats['classes']:
                mine = [page for page in pages if page.block_size == row['size']]
                assert abs(len(mine) - row['pools']) <= 2, row
                live = sum(page.live_blocks for page in mine)
                assert abs(live - row['live_blocks']) < 200, (live, row)
                assert all(0 <= page.live <= page.capacity for page in mine)
                if row['size'] <= 512:
                    assert all(page.capacity == row['capacity'] for page in mine)
                    assert not any(page.continues for page in mine)
            ''')

    def test_shows_where_medium_blocks_lie(self):
        self.check_child('''
            objects = [bytes(20_000) for _ in range(100)] + [bytes(3000) for _ in range(100)]
            heap = obmalloc.heap_map()
            pages = {arena.address_of(number): page
                     for arena in heap.arenas for number, page in enumerate(arena)}
            for item in objects:
                size = 20_480 if len(item) == 20_000 else 3072
                start = id(item)
                first, last = start // heap.page_size, (start + size - 1) // heap.page_size
                for number in range(first, last + 1):
                    page = pages[number * heap.page_size]
                    assert page.kind == 'used' and page.block_size == size, page
                    assert 0 < page.live <= page.capacity, page
                    assert page.continues or number == first, page
            ''')

    def test_shows_where_objects_lie(self):
        self.check_child('''
            objects = fill(8)
            heap = obmalloc.heap_map()
            pages = {arena.address_of(number): page
                     for arena in heap.arenas for number, page in enumerate(arena)}
            for item in objects[::100]:
                page = pages[id(item) // heap.page_size * heap.page_size]
                assert page.kind == 'used' and page.block_size == 448 and page.live > 0, page
            ''')

    def test_leaves_nothing_for_the_collector(self):
        self.check_child('''
            obmalloc.heap_map()             # what is imported leaves cycles
            gc.collect()
            gc.disable()
            for kernel in [False, True] if os.path.exists('/proc/self/pagemap') else [False]:
                heap = obmalloc.heap_map(kernel=kernel)
                [list(arena) + arena.rooms() for arena in heap.arenas]
                heap.as_dict()
                del heap
            if os.path.exists('/proc/self/pagemap'):
                obmalloc.resident()
            found = gc.collect()
            assert found == 0, found
            ''')

    def test_pages_that_went_are_purged(self):
        self.check_child('''
            objects = fill(16)
            address = {id(item) // 4096 for item in objects}
            kept = objects[::100]
            del objects
            obmalloc.trim()
            kinds = obmalloc.heap_map().kinds()
            assert kinds['purged'] * figures()['page_size'] > 8 * MIB, kinds
            assert kinds['dirty'] < 100, kinds
            ''')

    def test_fit_for_json(self):
        heap = obmalloc.heap_map()
        data = json.loads(json.dumps(heap.as_dict()))
        self.assertEqual(data['version'], 2)
        self.assertEqual(len(data['arenas']), len(heap.arenas))
        for arena, row in zip(heap.arenas, data['arenas']):
            self.assertEqual(row['address'], arena.address)
            self.assertEqual([tuple(page) for page in row['pages']],
                             [(page.kind, page.block_size, page.live, None, page.continues)
                              for page in arena])
        self.assertIn(str(len(heap.arenas)), repr(heap))
        self.assertIn('used', repr(heap.arenas[0]))


@has_proc
class KernelTests(ChildTest):
    setup = SETUP + '''
def smaps(areas):
    """The resident bytes of the mappings that lie in areas, by smaps."""
    total = wanted = 0
    with open('/proc/self/smaps') as file:
        for line in file:
            first = line.split()[0]
            if '-' in first and not first.endswith(':'):
                start, end = (int(part, 16) for part in first.split('-'))
                wanted = any(low <= start and end <= high for low, high in areas)
            elif first == 'Rss:' and wanted:
                total += int(line.split()[1]) * 1024
    return total

def window(heap):
    """From the first arena to the end of the last: nothing else lies there."""
    return [(heap.arenas[0].address, heap.arenas[-1].address + heap.arena_size)]
'''

    def compare(self, code, **env):
        # Free pages may go while the kernel is asked: then it is asked again.
        self.check_child(code + '''
for attempt in range(100):
    before = figures()
    kernel = obmalloc.resident()
    listed = smaps(window(obmalloc.heap_map()))
    process = status('VmRSS')
    stats = figures()
    if abs(stats['resident_pages'] - before['resident_pages']) < 64:
        break
ours = stats['resident_pages'] * stats['page_size']
assert abs(ours - listed) < 0.02 * listed + MIB, (ours, listed, stats)
assert abs(kernel['arenas'] - listed) < 0.005 * listed + MIB, (kernel, listed)
assert abs(kernel['process'] - process) < 2 * MIB, (kernel, process)
''', **env)

    def test_within_two_percent_of_smaps_when_full(self):
        self.compare('objects = fill(64)')

    def test_within_two_percent_of_smaps_after_giving_back(self):
        self.compare('objects = fill(160)[::60]')

    def test_within_two_percent_of_smaps_with_retention(self):
        self.compare('objects = fill(64)[::500]', PYTHONOBMALLOC='retain=all')

    # With retain=all: otherwise free pages may go while Linux is asked.
    def test_each_page_as_the_kernel_sees_it(self):
        self.check_child('''
            objects = fill(24)[::50]
            obmalloc.trim()
            objects += fill(8)[::50]
            heap = obmalloc.heap_map(kernel=True)
            wrong = sum(page.resident != (page.kind in ('used', 'dirty'))
                        for arena in heap.arenas for page in arena)
            pages = sum(arena.page_count for arena in heap.arenas)
            assert wrong < pages / 100, (wrong, pages)
            assert heap.as_dict()['arenas'][0]['pages'][0][3] in (True, False)
            ''', PYTHONOBMALLOC='retain=all')


if __name__ == '__main__':
    unittest.main()
