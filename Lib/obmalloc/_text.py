"""Text for the terminal: sizes, tables, the heap map in colour."""

import os
import shutil
import sys

from obmalloc import _heap_map

# How a page looks: by how full it is, an eighth each; and the kinds of free ones.
FILLED = '▁▂▃▄▅▆▇█'
FILLED_ASCII = '12345678'
FREE = {'dirty': '▒', 'purged': '·', 'fresh': ' '}
FREE_ASCII = {'dirty': '~', 'purged': '.', 'fresh': ' '}
# A page with nothing but a part of a block that begins on a page before.
CONTINUED, CONTINUED_ASCII = '═', '='

_ORANGE, _GREY, _BLUE, _BOLD, _RESET = (
    '\x1b[38;5;208m', '\x1b[38;5;244m', '\x1b[38;5;33m', '\x1b[1m', '\x1b[0m')
_COLOURS = {'used': _BLUE, 'dirty': _ORANGE, 'purged': _GREY, 'fresh': _GREY}


class Style:
    """What a stream can show: width in columns, colour, and Unicode."""

    def __init__(self, stream=None, *, width=None, colour=None, unicode=None):
        stream = sys.stdout if stream is None else stream
        terminal = stream.isatty()
        if width is None:
            width = shutil.get_terminal_size().columns or 80 if terminal or 'COLUMNS' in os.environ else 80
        if colour is None:
            # See no-color.org: any value but an empty one counts.
            colour = (not os.environ.get('NO_COLOR') and os.environ.get('TERM') != 'dumb'
                      and (terminal or bool(os.environ.get('FORCE_COLOR'))))
        if unicode is None:
            try:
                FILLED.encode(stream.encoding or 'ascii')
                unicode = True
            except UnicodeError:
                unicode = False
        self.width = max(width, 40)
        self.clips = terminal           # what goes into a pipe or file is not cut
        self.colour = colour
        self.unicode = unicode

    def paint(self, text, colour):
        return f'{colour}{text}{_RESET}' if self.colour and text else text

    def bold(self, text):
        return self.paint(text, _BOLD)

    def clip(self, text):
        """The text, cut to the width of a terminal."""
        if not self.clips or len(text) <= self.width:
            return text
        return text[:self.width - 1] + ('…' if self.unicode else '~')


def size(count):
    """Bytes as people read them: '512 B', '1.5 KiB', '302 MiB'."""
    if abs(count) < 1024:
        return f'{count} B'
    for unit in 'KiB', 'MiB', 'GiB', 'TiB':
        count /= 1024
        if abs(count) < 1023.95 or unit == 'TiB':
            break
    return f'{count:.1f} {unit}' if abs(count) < 99.95 else f'{count:.0f} {unit}'


def counted(count, noun):
    """'1 page', '2,000 pages'."""
    return f'{count:,} {noun}' + ('' if count == 1 else 's')


def table(rows, left=1):
    """Lines of a table; the first `left` columns are aligned to the left."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ['  '.join(cell.ljust(width) if i < left else cell.rjust(width)
                      for i, (cell, width) in enumerate(zip(row, widths))).rstrip()
            for row in rows]


# Statistics ---------------------------------------------------------------------

def floor_text(stats):
    """How much is held, measured by the least that could be."""
    floor = stats['floor_pages'] * stats['page_size']
    times = f'{stats["resident_pages"] / stats["floor_pages"]:.2f} times ' if floor else ''
    return f'{times}the page floor of {size(floor)}, the pages with a block in use'


def stats_lines(stats, kernel, style):
    """What obmalloc.stats() says.  kernel: as obmalloc.resident(), or None."""
    page = stats['page_size']
    held = stats['resident_pages'] * page
    lines = [style.bold(
        f'{size(held)} held for {size(stats["live_bytes"])} in '
        f'{counted(stats["live_blocks"], "block")}: '
        + floor_text(stats)), '']
    rows = [('in arenas', 'bytes', 'pages', 'part')]
    total = stats['arena_bytes'] or 1

    def add(label, count, pages=None):
        rows.append((label, size(count), f'{pages:,}' if pages is not None else '',
                     f'{100 * count / total:.1f} %'))
    add('blocks in use', stats['live_bytes'])
    add('free blocks of used pages', stats['free_block_bytes'])
    add('ends of used pages', stats['tail_bytes'])
    add('used pages', stats['used_pages'] * page, stats['used_pages'])
    for kind, label in (('dirty', 'free, kept resident'), ('purged', 'free, given back'),
                        ('fresh', 'free, never touched')):
        add(label, stats[kind + '_pages'] * page, stats[kind + '_pages'])
    add(f'all {counted(stats["arenas"], "arena")}', stats['arena_bytes'],
        stats['used_pages'] + stats['free_pages'])
    lines += table(rows)
    lines += ['', f'descriptors, besides: {size(stats["metadata_bytes"])}']
    if kernel:
        lines.append(f'by the kernel: {size(kernel["arenas"])} of the arenas resident, '
                     f'{size(kernel["process"])} the whole process')
    lines += ['', 'so far: ' + ', '.join((
        f'{stats["arenas_mapped"]:,} arenas mapped', f'{stats["arenas_released"]:,} released',
        f'{stats["pages_purged"]:,} pages purged in {stats["purge_calls"]:,} calls',
        f'{stats["refaults"]:,} wanted again')),
        f'free pages that may stay resident: {size(stats["allowance_pages"] * page)}']
    rows = [('block', 'pages', 'in use', 'free', 'full')]
    for row in stats['classes']:
        if row['pools']:
            blocks = row['live_blocks'] + row['free_blocks']
            rows.append((str(row['size']), f'{row["pools"]:,}', f'{row["live_blocks"]:,}',
                         f'{row["free_blocks"]:,}', f'{100 * row["live_blocks"] / blocks:.0f} %'))
    lines += [''] + table(rows, left=0)
    return [line if line.startswith('\x1b') else style.clip(line) for line in lines]


# The map ------------------------------------------------------------------------

def _cell(page, style):
    """(text, colour) of one page."""
    if page.kind != _heap_map.USED:
        return (FREE if style.unicode else FREE_ASCII)[page.kind], _COLOURS[page.kind]
    if page.live and not page.live_blocks:
        return CONTINUED if style.unicode else CONTINUED_ASCII, _COLOURS['used']
    eighth = -(-8 * page.live // page.capacity) - 1 if page.live else 0
    return (FILLED if style.unicode else FILLED_ASCII)[eighth], _COLOURS['used']


def _row(pages, style):
    """One line of pages; colour changes only where it must."""
    text, run, colour = '', '', None
    for page in pages:
        cell, wanted = _cell(page, style)
        if wanted != colour and cell != ' ':
            text += style.paint(run, colour)
            run, colour = '', wanted
        run += cell
    return text + style.paint(run, colour)


def legend(style):
    """What the signs of the map mean."""
    filled = FILLED if style.unicode else FILLED_ASCII
    free = FREE if style.unicode else FREE_ASCII
    continued = CONTINUED if style.unicode else CONTINUED_ASCII
    parts = [style.paint(filled, _COLOURS['used']) + ' used, by how full',
             style.paint(continued, _COLOURS['used']) + ' a block goes on',
             style.paint(free['dirty'], _COLOURS['dirty']) + ' free, resident',
             style.paint(free['purged'], _COLOURS['purged']) + ' given back',
             'blank: never touched']
    return '  '.join(parts)


def _whole_arena(arena, heap_map, style):
    """A heading, and one sign a page, a whole number of runs in a line."""
    per_run = max(heap_map.run_size // heap_map.page_size, 1)
    columns = max((style.width - 2) // per_run, 1) * per_run
    pages = list(arena)
    kinds = arena.kinds()
    lines = [style.bold(style.clip(
        f'arena {arena.number} at {arena.address:#x}: {size(arena.live_bytes)} live in '
        f'{counted(kinds["used"], "page")}; free: {kinds["dirty"]} resident, '
        f'{kinds["purged"]} given back, {kinds["fresh"]} never touched'))]
    for start in range(0, len(pages), columns):
        row = pages[start:start + columns]
        if any(page.kind != _heap_map.FRESH for page in row):
            lines.append('  ' + _row(row, style))
    return lines


def _common(pages):
    """A page that stands for several: used as they are on average, if any is; else
    of the kind that most of them have."""
    used = [page for page in pages if page.kind == _heap_map.USED]
    if used:
        full = sum(page.live / page.capacity for page in used)
        return _heap_map.Page(_heap_map.USED, 1, round(1000 * full / len(pages)), 1000)
    kinds = [page.kind for page in pages]
    return _heap_map.Page(max(_heap_map.KINDS, key=kinds.count), 0, 0, 0)


def _short_arena(arena, style):
    """One line, each sign several pages."""
    pages = list(arena)
    heading = f'arena {arena.number:4} '
    together = -(-len(pages) // (style.width - len(heading) - 2))
    return heading + _row([_common(pages[start:start + together])
                           for start in range(0, len(pages), together)], style)


def map_lines(heap_map, style, rows=None):
    """The map, in at most so many rows: of all pages if there is room, else a line
    for each arena, as many as there is room for."""
    lines = [legend(style)]
    for arena in heap_map.arenas:
        lines += _whole_arena(arena, heap_map, style)
        if rows is not None and len(lines) > rows:
            break
    else:
        return lines
    shown = heap_map.arenas
    if len(shown) >= rows:
        shown = shown[:max(rows - 2, 0)]
    lines = [lines[0]] + [_short_arena(arena, style) for arena in shown]
    if len(shown) < len(heap_map.arenas):
        lines.append(f'... and {counted(len(heap_map.arenas) - len(shown), "more arena")}')
    return lines


# Pins ---------------------------------------------------------------------------

def owner_name(row):
    """What a row or a block of pins is, in words."""
    if row.type == '?':
        return 'unknown' + (f' in {row.holder}' if row.holder else '')
    name = f'memory of {row.type}' if row.beside else row.type
    return name + (f' in {row.holder}' if row.holder else '')


LEAST_GIVEN_BACK = 64 << 10     # bytes: what copies must bring to be worth a line


def copies_text(row):
    """What a row of the copies of pins would bring, and how: one sentence."""
    one = 10 * row.largest >= 9 * row.values
    where = row.holder if row.containers == 1 else (
        f'{row.containers:,} containers of type {row.holder}' + (', nearly all in one' if one else ''))
    what = (f'{counted(row.values, "value")} in {where}, most of them `{row.type}`' if row.others
            else f'{row.values:,} `{row.type}` in {where}')
    call = row.call if one else 'obmalloc.compact(container) for each' + (
        f', of which {row.name} is the largest' if row.name else '')
    text = f'copying these {what} ({size(row.bytes)}) would give back about {size(row.gives_back)}: {call}'
    if row.gives_back_with_keys > 1.25 * row.gives_back + LEAST_GIVEN_BACK:
        container = row.name if one and row.name else 'container'
        text += (f'; with the keys about {size(row.gives_back_with_keys)}: '
                 f'{container} = obmalloc.keep({container})' + ('' if one else ' for each'))
    return text


def copies_worth_it(pins):
    """The rows of the copies of pins that bring enough for a sentence."""
    least = max(LEAST_GIVEN_BACK, sum(row.held_bytes for row in pins.types) // 50)
    return [row for row in pins.copies if row.gives_back_with_keys >= least]


def pins_lines(pins, style, types=20, arenas=3, pages=5, copies=5):
    """What keeps memory: the first types, what copies would give back, and what lies in the
    first arenas."""
    held = sum(row.held_bytes for row in pins.types)
    wasted = sum(row.wasted_bytes for row in pins.types)
    lines = [style.bold(f'{size(held)} of pages are held by live blocks, {size(wasted)} of it '
                        f'beyond the blocks; the owners of {100 * pins.known:.0f} % are known'), '']
    rows = [('kept by', 'blocks', 'bytes', 'pages', 'they hold', 'wasted')]
    rows += [(owner_name(row), f'{row.blocks:,}', size(row.bytes), f'{row.pages:,}',
              size(row.held_bytes), size(row.wasted_bytes)) for row in pins.types[:types]]
    widest = max(style.width - 48, 20) if style.clips else max(len(row[0]) for row in rows)
    rows = [(row[0] if len(row[0]) <= widest else row[0][:widest - 1] + '~', *row[1:])
            for row in rows]
    lines += table(rows)
    if len(pins.types) > types:
        lines.append(f'... and {len(pins.types) - types} more')
    sentences = [copies_text(row) for row in copies_worth_it(pins)[:copies]]
    lines += ['', *sentences] if sentences else []
    for arena in [arena for arena in pins.arenas if arena.live_blocks][:arenas]:
        lines += ['', style.bold(style.clip(
            f'arena {arena.number}: {counted(arena.live_blocks, "block")} of '
            f'{size(arena.live_bytes)} keep {size(arena.used_pages * pins.page_size)}'))]
        for page in arena.pages[:pages]:
            lines.append(style.clip(f'  page {page.number}, blocks of {page.block_size}: '
                                    + _blocks(page.blocks)))
        if len(arena.pages) > pages:
            lines.append(f'  ... and {counted(len(arena.pages) - pages, "more page")}')
    return lines


def _blocks(blocks):
    """'3 x str in list (file.py:7), int'."""
    counts = {}
    for block in blocks:
        text = owner_name(block)
        if block.line:
            text += f' ({os.path.basename(block.line)})'
        counts[text] = counts.get(text, 0) + 1
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ', '.join(text if count == 1 else f'{count} x {text}' for text, count in ordered)
