"""One page that shows a heap: HTML with everything in it, and no network."""

import html
import json
import time

from obmalloc import _heap_map, _picture, _pins
from obmalloc._page import document, file_text, table
from obmalloc._text import copies_text, copies_worth_it, counted, floor_text, owner_name, size

MOST_ARENAS = 200               # that are drawn
MOST_TYPES = 50                 # that are listed
MOST_SENTENCES = 10             # about copies
FIRST_ROWS = 12                 # of a long table; the others wait behind a click


def _long_table(rows, caption):
    """A table of which the first rows are in sight."""
    head, first, others = rows[:1], rows[1:1 + FIRST_ROWS], rows[1 + FIRST_ROWS:]
    text = table(head + first, caption)
    if others:
        text += (f'<details><summary>{len(others):,} more</summary>'
                 + table(head + others, f'{caption}, continued') + '</details>')
    return text


def _over_time(samples):
    """The section of what was seen while the program ran."""
    if len(samples) < 2:
        return ''
    times = [sample['time'] for sample in samples]
    lines = {'resident set of the process': ('#d55e00', [s['process'] for s in samples])}
    if all('held' in sample for sample in samples):
        lines['held by the arenas'] = ('#0072b2', [s['held'] for s in samples])
        lines['used pages'] = ('#009e73', [s['used'] for s in samples])
    key = ''.join(f'<li><i style="background:{colour}"></i>{label}</li>'
                  for label, (colour, _) in lines.items())
    most = max(lines['resident set of the process'][1])
    title = (f'Over {times[-1]:.1f} seconds the resident set was {size(most)} at most and '
             f'{size(samples[-1]["process"])} at the end.')
    chosen = samples[::max(len(samples) // 20, 1)]
    rows = [('seconds', *lines)] + [
        (f'{sample["time"]:.1f}', *(size(values[samples.index(sample)]) for _, values in lines.values()))
        for sample in chosen]
    return (f'<h2>Over time</h2><p>{title}</p><ul class="key">{key}</ul>'
            + _picture.chart_svg(times, lines, title)
            + '<details><summary>The same as a table</summary>'
            + table(rows, 'memory over time') + '</details>')


def _figures(stats, kernel):
    """The table of what the arenas hold.  kernel: what the kernel says of it, in bytes, or None."""
    page = stats['page_size']
    total = stats['arena_bytes'] or 1
    rows = [('In arenas', 'bytes', 'pages', 'part')]
    for label, count, pages in (
            ('blocks in use', stats['live_bytes'], ''),
            ('free blocks of used pages', stats['free_block_bytes'], ''),
            ('ends of used pages', stats['tail_bytes'], ''),
            ('free pages, kept resident', stats['dirty_pages'] * page, stats['dirty_pages']),
            ('free pages, given back', stats['purged_pages'] * page, stats['purged_pages']),
            ('free pages, never touched', stats['fresh_pages'] * page, stats['fresh_pages']),
            (f'all {counted(stats["arenas"], "arena")}', stats['arena_bytes'],
             stats['used_pages'] + stats['free_pages'])):
        rows.append((label, size(count), f'{pages:,}' if pages != '' else '',
                     f'{100 * count / total:.1f} %'))
    events = (f'{stats["arenas_mapped"]:,} arenas were mapped, {stats["arenas_released"]:,} released; '
              f'{stats["pages_purged"]:,} pages were given back in {stats["purge_calls"]:,} calls, '
              f'{stats["refaults"]:,} wanted again. Descriptors take {size(stats["metadata_bytes"])}.')
    if kernel:
        events += (f' By the kernel {size(kernel["arenas"])} of the arenas are resident, and '
                   f'{size(kernel["process"])} of the whole process.')
    classes = [('Block size', 'pages', 'in use', 'free', 'full')]
    for row in stats['classes']:
        if row['pools']:
            blocks = row['live_blocks'] + row['free_blocks']
            classes.append((row['size'], f'{row["pools"]:,}', f'{row["live_blocks"]:,}',
                            f'{row["free_blocks"]:,}', f'{100 * row["live_blocks"] / blocks:.0f} %'))
    return ('<h2>The figures</h2>' + table(rows, 'what the arenas hold') + f'<p>{events}</p>'
            + '<details><summary>By size of block</summary>'
            + table(classes, 'size classes') + '</details>')


def _key():
    items = [('u0', 'hardly used'), ('u1', ''), ('u2', ''), ('u3', 'full'),
             ('dirty', 'free, kept resident'), ('purged', 'free, given back'),
             ('fresh', 'free, never touched')]
    colours = dict(zip(('u0', 'u1', 'u2', 'u3'), _picture.SHADES), dirty=_picture.DIRTY,
                   purged=_picture.PURGED, fresh=_picture.FRESH)
    return '<ul class="key">' + ''.join(
        f'<li><i style="background:{colours[name]}"></i>{text}</li>' for name, text in items) + (
        '<li>a line between two pages: a block lies on both</li></ul>')


def _map(heap_map):
    """The map, a square a page, of the arenas with most pages in use."""
    arenas = sorted(heap_map.arenas, key=lambda arena: -sum(
        page.live != 0 for page in arena))[:MOST_ARENAS]
    arenas.sort(key=lambda arena: arena.number)
    left_out = len(heap_map.arenas) - len(arenas)
    note = (f'<p class="note">Drawn are the {len(arenas)} arenas with most used pages; '
            f'{left_out:,} are not.</p>' if left_out else '')
    figures = ''.join(
        f'<figure data-arena="{arena.number}"><figcaption>{_picture.arena_text(arena)}</figcaption>'
        f'<svg viewBox="0 0 {_picture.COLUMNS * _picture.CELL} {_picture.arena_height(arena)}" '
        f'tabindex="0" role="img" aria-label="{_picture.arena_text(arena)}">'
        f'{_picture.arena_rectangles(arena)}</svg></figure>' for arena in arenas)
    return ('<section><h2>The map of the heap</h2><p>Each small square is a page of '
            f'{size(heap_map.page_size)}. Point at one, or use the arrow keys in an arena.</p>'
            + _key() + note + f'<div class="arenas">{figures}</div>'
            + '<p id="detail" role="status" aria-live="polite">Point at a page to see what it is.</p></section>')


def _copies(pins):
    """What copies would bring, as sentences."""
    sentences = [copies_text(row) for row in copies_worth_it(pins)[:MOST_SENTENCES]]
    return '<ul>' + ''.join(f'<li>{html.escape(text)}</li>' for text in sentences) + '</ul>' if sentences else ''


def _keepers(pins):
    """Who keeps what.  pins: None where the heap was looked at from outside."""
    if pins is None:
        return ('<h2>Who keeps it</h2><p class="note">Which objects keep the memory can only be '
                'seen from inside: run the program with <code>python -m obmalloc report PROGRAM'
                '</code>, or call <code>obmalloc.pins()</code> in it.</p>')
    held = sum(row.held_bytes for row in pins.types)
    wasted = sum(row.wasted_bytes for row in pins.types)
    rows = [('Kept by', 'wasted', 'blocks', 'bytes', 'pages', 'they hold')] + [
        (owner_name(row), size(row.wasted_bytes), f'{row.blocks:,}', size(row.bytes),
         f'{row.pages:,}', size(row.held_bytes)) for row in pins.types[:MOST_TYPES]]
    cheapest = [('Arena, the cheapest to empty first', 'blocks', 'bytes', 'keep')] + [
        (f'arena {arena.number}: ' + _owners(arena), f'{arena.live_blocks:,}',
         size(arena.live_bytes), size(arena.used_pages * pins.page_size))
        for arena in pins.arenas[:20]]
    return (f'<h2>Who keeps it</h2><p>{size(held)} of pages are held by live blocks, '
            f'{size(wasted)} of it beyond the blocks themselves. The owners of '
            f'{100 * pins.known:.0f} % of the bytes are known.</p>'
            + _copies(pins)
            + _long_table(rows, 'types that keep pages')
            + _long_table(cheapest, 'arenas that are cheap to empty'))


def _owners(arena):
    """The three most frequent kinds among the listed blocks of an arena."""
    counts, lines = {}, {}
    for page in arena.pages:
        for block in page.blocks:
            name = owner_name(block)
            counts[name] = counts.get(name, 0) + 1
            lines.setdefault(name, block.line)
    first = sorted(counts, key=lambda name: (-counts[name], name))[:3]
    return ', '.join(f'{counts[name]:,} x {name}' + (f' ({lines[name]})' if lines[name] else '')
                     for name in first) or 'not listed'


def page(*, title, stats, heap_map, kernel=None, pins=None, samples=()):
    """The text of the page.  kernel: as obmalloc.resident(); samples: dicts with
    'time' in seconds, and 'process', 'held' and 'used' in bytes."""
    held = stats['resident_pages'] * stats['page_size']
    lead = (f'{size(held)} held for {size(stats["live_bytes"])} of live blocks: '
            f'{floor_text(stats)}.')
    when = time.strftime('%Y-%m-%d %H:%M:%S')
    body = (f'<p class="lead">{lead}</p><p class="note">{when}</p>' + _over_time(samples)
            + _keepers(pins) + _map(heap_map) + _figures(stats, kernel))
    return document(title, body, _picture.STYLE, file_text('report.js'))


# From the process that is looked at to the one that writes the page ------------------

def to_json(*, stats, heap_map, kernel, pins):
    """What page() wants, as text."""
    return json.dumps({'stats': stats, 'kernel': kernel, 'map': heap_map.as_dict(),
                       'pins': pins.as_dict() if pins else None, 'classes': heap_map.classes})


def from_json(text):
    """The arguments of page() again."""
    seen = json.loads(text)
    return {'stats': seen['stats'], 'kernel': seen['kernel'],
            'heap_map': _heap_map.from_dict(seen['map'], seen['classes']),
            'pins': _pins.from_dict(seen['pins']) if seen['pins'] else None}
