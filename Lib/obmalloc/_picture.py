"""Pictures of a heap: the map as SVG and PNG, lines over time as SVG."""

import html
import itertools
import struct

from obmalloc import _heap_map
from obmalloc._text import counted, size

COLUMNS = 64                    # pages in a row of the picture
CELL = 6                        # SVG units that a page is wide and high
STEPS = 4                       # shades of used pages

# The shades go from hardly used to full; the colours are of the palette by
# Okabe and Ito, which people with any kind of colour vision can tell apart.
SHADES = ('#a6d3ef', '#56b4e9', '#2f8ac4', '#0a5c94')
DIRTY, PURGED, FRESH = '#e69f00', '#d9d9d9', '#ffffff'
INK, FAINT = '#222222', '#bbbbbb'

STYLE = '\n'.join(
    ['rect { shape-rendering: crispEdges }'] + [f'.u{step} {{ fill: {colour} }}' for step, colour in enumerate(SHADES)]
    + [f'.joint {{ stroke: {INK}; stroke-width: 1.5; pointer-events: none }}']
    + [f'.dirty {{ fill: {DIRTY} }}', f'.purged {{ fill: {PURGED} }}', f'.fresh {{ fill: {FRESH} }}'])


def shade(page):
    """0 to STEPS - 1: how full a used page is."""
    return max(-(-STEPS * page.live // page.capacity) - 1, 0)


def css_class(page):
    """The class of STYLE that a page has."""
    return f'u{shade(page)}' if page.kind == _heap_map.USED else page.kind


def page_text(page):
    """What a page is, in words."""
    if page.kind == _heap_map.USED:
        before = ', one of them begins before' if page.continues else ''
        return f'{page.live} of {page.capacity} blocks of {page.block_size} bytes in use{before}'
    return {'dirty': 'free, kept resident', 'purged': 'free, given back',
            'fresh': 'free, never touched'}[page.kind]


def arena_text(arena):
    """An arena in one line."""
    kinds = arena.kinds()
    return (f'arena {arena.number}: {size(arena.live_bytes)} live in {counted(kinds["used"], "page")}; '
            f'free pages: {kinds["dirty"]} resident, {kinds["purged"]} given back, '
            f'{kinds["fresh"]} never touched')


def arena_rectangles(arena):
    """SVG of the pages of an arena: neighbours that are alike are one rectangle,
    whose title says what they are."""
    parts = []
    pages = list(enumerate(arena))
    for row in range(0, len(pages), COLUMNS):
        for page, alike in itertools.groupby(pages[row:row + COLUMNS], key=lambda item: item[1]):
            numbers = [number for number, _ in alike]
            first, last = numbers[0], numbers[-1]
            where = f'page {first}' if first == last else f'pages {first} to {last}'
            parts.append(
                f'<rect class="{css_class(page)}" x="{(first - row) * CELL}" '
                f'y="{row // COLUMNS * CELL}" width="{len(numbers) * CELL}" height="{CELL}">'
                f'<title>{where}: {page_text(page)}</title></rect>')
    return ''.join(parts) + joints(page for _, page in pages)


def joints(pages):
    """SVG of a line from each page to the next where a block lies on both."""
    lines = [f'M{number % COLUMNS * CELL - CELL // 3} {number // COLUMNS * CELL + CELL // 2}h{CELL // 3 * 2}'
             for number, page in enumerate(pages) if page.continues]
    return f'<path class="joint" d="{"".join(lines)}"/>' if lines else ''


def arena_height(arena):
    """SVG units."""
    return -(-arena.page_count // COLUMNS) * CELL


def map_svg(heap_map, title):
    """The whole map as an SVG document."""
    width, top, gap = COLUMNS * CELL, 46, 26
    columns = min(max(round((len(heap_map.arenas) / 6) ** 0.5), 1), 8)
    parts, y = [], top
    for row in range(0, len(heap_map.arenas), columns):
        beside = heap_map.arenas[row:row + columns]
        for column, arena in enumerate(beside):
            parts.append(f'<g transform="translate({10 + column * (width + 20)} {y})">'
                         f'<text y="-5">{arena_text(arena)}</text>{arena_rectangles(arena)}'
                         f'<rect class="frame" width="{width}" height="{arena_height(arena)}"/></g>')
        y += max(map(arena_height, beside)) + gap
    whole = columns * (width + 20)
    keys, x = [], 10
    for name, text in [('u0', 'hardly used'), ('u3', 'full'), ('dirty', 'free, resident'),
                       ('purged', 'given back'), ('fresh', 'never touched')]:
        keys.append(f'<rect class="{name} frame-key" x="{x}" y="20" width="8" height="8"/>'
                    f'<text x="{x + 11}" y="27">{text}</text>')
        x += 20 + 5 * len(text)
    keys.append(f'<path class="joint" d="M{x} 24h8"/><text x="{x + 11}" y="27">a block goes on</text>')
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole} {y}" '
            f'width="{2 * whole}" role="img">\n<title>{html.escape(title)}</title>\n<style>'
            f'text {{ font: 8px sans-serif; fill: {INK} }} .frame, .frame-key {{ stroke: {FAINT} }} '
            f'.frame {{ fill: none; }}\n{STYLE}</style>\n<rect width="100%" height="100%" '
            f'fill="#fff"/>\n<text x="10" y="12">{html.escape(title)}</text>\n'
            + '\n'.join(keys + parts) + '\n</svg>\n')


# PNG -----------------------------------------------------------------------------

_PALETTE = (*SHADES, DIRTY, PURGED, FRESH, INK)


def _chunk(name, data):
    import zlib     # which not every Python has
    return (struct.pack('>I', len(data)) + name + data
            + struct.pack('>I', zlib.crc32(name + data)))


def _png(rows, title):
    """A PNG file of rows of palette numbers."""
    import zlib
    palette = b''.join(bytes.fromhex(colour[1:]) for colour in _PALETTE)
    header = struct.pack('>IIBBBBB', len(rows[0]), len(rows), 8, 3, 0, 0, 0)
    return b''.join([b'\x89PNG\r\n\x1a\n', _chunk(b'IHDR', header), _chunk(b'PLTE', palette),
                     _chunk(b'tEXt', b'Title\0' + title.encode('latin-1', 'replace')),
                     _chunk(b'IDAT', zlib.compress(b''.join(b'\0' + row for row in rows))),
                     _chunk(b'IEND', b'')])


def map_png(heap_map, title, cell=6):
    """The map as a PNG file: the arenas one below the other, cell pixels a page,
    a line between them, and one across the border of two pages on which a block lies.  The title goes into the file, not into the picture."""
    numbers = {f'u{step}': step for step in range(STEPS)}
    numbers.update(dirty=STEPS, purged=STEPS + 1, fresh=STEPS + 2)
    line = bytes([STEPS + 3]) * (COLUMNS * cell)
    rows = [line]
    for arena in heap_map.arenas:
        pages = list(arena)
        cells = bytes(numbers[css_class(page)] for page in pages)
        for start in range(0, len(cells), COLUMNS):
            row = cells[start:start + COLUMNS].ljust(COLUMNS, bytes([numbers['fresh']]))
            plain = b''.join(row[i:i + 1] * cell for i in range(COLUMNS))
            joined = bytearray(plain)
            for column, page in enumerate(pages[start:start + COLUMNS]):
                if page.continues:
                    joined[max(column * cell - 1, 0):column * cell + 1] = line[:1 if column == 0 else 2]
            rows += [bytes(joined) if cell // 3 <= i < cell - cell // 3 else plain for i in range(cell)]
        rows += [line] * 2
    return _png(rows, title)


# Lines over time -------------------------------------------------------------------

def _nice_step(most, count=5):
    """A round step, so that about count of them reach most."""
    step = 1.0
    while step * count < most:
        for factor in 2, 5, 10:
            if step * factor * count >= most:
                return step * factor
        step *= 10
    return step


def chart_svg(times, lines, title):
    """Lines over time, bytes against seconds.  lines: {label: (colour, values)}."""
    width, height, left, bottom, top = 640, 260, 62, 34, 14
    most = max(max(values) for _, values in lines.values()) / (1 << 20) or 1
    step = _nice_step(most)
    top_value = step * -(-most // step)
    last = max(times[-1], 1e-9)

    def x(time):
        return left + (width - left - 10) * time / last

    def y(value):
        return height - bottom - (height - bottom - top) * value / (1 << 20) / top_value
    parts = []
    for i in range(round(top_value / step) + 1):
        at = y(i * step * (1 << 20))
        parts.append(f'<line class="grid" x1="{left}" x2="{width - 10}" y1="{at:.1f}" y2="{at:.1f}"/>'
                     f'<text x="{left - 6}" y="{at + 4:.1f}" text-anchor="end">{i * step:g}</text>')
    time_step = _nice_step(last * 10) / 10
    for i in range(int(last / time_step) + 1):
        parts.append(f'<text x="{x(i * time_step):.1f}" y="{height - bottom + 16}" '
                     f'text-anchor="middle">{i * time_step:g}</text>')
    parts.append(f'<text x="{left - 6}" y="{height - 4}" text-anchor="end">MiB</text>'
                 f'<text x="{width - 10}" y="{height - 4}" text-anchor="end">seconds</text>')
    for label, (colour, values) in lines.items():
        points = ' '.join(f'{x(time):.1f},{y(value):.1f}' for time, value in zip(times, values))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2">'
                     f'<title>{html.escape(label)}: at most {size(max(values))}, at the end '
                     f'{size(values[-1])}</title></polyline>')
    return (f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" '
            f'aria-label="{html.escape(title)}">' + ''.join(parts) + '</svg>')
