"""HTML: pages are parsed by html5lib into BeautifulSoup's trees, searched, and dropped.

After reports on crawlers that grow page by page, with and without decompose().
"""
import bs4

import phases

ROWS = 60                   # of the table in a page


def page(number: int) -> str:
    """Return the text of a page; some tags are left open, as people do."""
    rows = "".join(f"<tr class='r{row % 2}'><td>{row}<td><a href='/p/{number}/{row}'>part {row}</a>"
                   f"<td>{'words ' * (row % 9)}" for row in range(ROWS))
    return (f"<!doctype html><title>Page {number}</title><div id=top class='a b'><p>Some text"
            f"<p>More<ul>{'<li>item' * 20}</ul></div><table>{rows}</table>")


def work(pages: int, _) -> list[str]:
    """Parse pages and hold them all; return the titles and a link of each."""
    parsed = [bs4.BeautifulSoup(page(number), "html5lib") for number in range(pages)]
    links = [one.find_all("a")[-1]["href"] for one in parsed]
    return [str(one.title.string) for one in parsed] + links


phases.run("html_pages", work, {"pages": 180})
