"""What our pages are made of: HTML with everything in it, and no network.

Needs nothing of the package, so that the benchmarks' reports can use it too.
"""

import html
import os

_HERE = os.path.dirname(os.path.abspath(__file__))


class Markup(str):
    """Text that is HTML already."""


def file_text(name):
    """The text of a file that lies beside this one."""
    with open(os.path.join(_HERE, name), encoding='utf-8') as file:
        return file.read()


def table(rows, caption):
    """The first row is the head."""
    head, *body = [[cell if isinstance(cell, Markup) else html.escape(str(cell)) for cell in row]
                   for row in rows]
    return ('<div class="scroll" role="region" tabindex="0" aria-label="' + html.escape(caption)
            + '"><table><thead><tr>' + ''.join(f'<th scope="col">{cell}</th>' for cell in head)
            + '</tr></thead><tbody>'
            + ''.join('<tr>' + f'<th scope="row">{row[0]}</th>'
                      + ''.join(f'<td>{cell}</td>' for cell in row[1:]) + '</tr>' for row in body)
            + '</tbody></table></div>')


def document(title, body, style='', script=''):
    """The text of a page; body, style and script are HTML, CSS and JavaScript."""
    return ('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
            'style-src \'unsafe-inline\'; script-src \'unsafe-inline\'; img-src data:">'
            '<link rel="icon" href="data:,">'
            f'<title>{html.escape(title)} - obmalloc</title><style>{file_text("report.css")}'
            f'{style}</style></head><body><main><h1>{html.escape(title)}</h1>{body}</main>'
            + (f'<script>{script}</script>' if script else '') + '</body></html>\n')
