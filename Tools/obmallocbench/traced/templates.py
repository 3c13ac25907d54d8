"""Templates: pages of a catalogue are put together from templates, escaped, and parsed again.

Recorded as a trace by `obmallocbench record`. Standard library only, the same each time.
"""
import html
import html.parser
import random
import string

SEED = 2005
PAGES = 120
ROWS = 40                   # on a page
CACHED = 30                 # pages kept, the oldest goes first

PAGE = string.Template("<html><head><title>$title</title></head><body><h1>$title</h1>\n"
                       "<table class='catalogue'>\n$rows\n</table><p>$footer</p></body></html>")
ROW = string.Template("<tr class='$parity'><td>$number</td><td>$name</td><td>$price</td>"
                      "<td><a href='/shop?article=$number&amp;page=$page'>$label</a></td></tr>")


class Links(html.parser.HTMLParser):
    """Collects where the links of a page go, and its text."""

    def __init__(self):
        super().__init__()
        self.links = []
        self.text = []

    def handle_starttag(self, tag, attributes):
        if tag == "a":
            self.links.append(dict(attributes)["href"])

    def handle_data(self, data):
        if data.strip():
            self.text.append(data)


def render(number, draw):
    """Return the text of a page."""
    rows = [ROW.substitute(parity=("even", "odd")[row % 2], number=number * ROWS + row, page=number,
                           name=html.escape("article <%d> & co" % int(draw() * 10 ** 6)),
                           price="%.2f" % (draw() * 100), label="look" if draw() < 0.5 else "buy")
            for row in range(ROWS)]
    return PAGE.substitute(title="page %d" % number, rows="\n".join(rows), footer="n" * 60)


def main():
    """Render and parse the pages."""
    draw = random.Random(SEED).random
    cache = {}
    for number in range(PAGES):
        cache[number] = render(number, draw)
        cache.pop(number - CACHED, None)
        parser = Links()
        parser.feed(cache[number])
        assert len(parser.links) == ROWS


main()
