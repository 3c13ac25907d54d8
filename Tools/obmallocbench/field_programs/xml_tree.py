"""XML: lxml parses a large document, Python walks it, changes it, and drops it.

After reports that memory stays when etree objects are deleted: the tree is the system malloc's, in
small pieces.
"""
from pathlib import Path

from lxml import etree

import phases

NAMED = 100                 # one of so many entries is remembered
SPACE = "urn:example"


def prepare(entries: int, folder: Path) -> None:
    """Write the document."""
    with open(folder / "feed.xml", "w", encoding="ascii") as stream:
        stream.write(f"<feed xmlns='{SPACE}'>")
        for number in range(entries):
            stream.write(f"<entry id='e{number}' lang='en'><title>Title {number}</title><by><name>"
                         f"user {number % 999}</name><mail>u{number % 999}@example.org</mail></by>"
                         f"<p>{'text ' * (number % 12)}</p><tags><t>a</t><t>b{number % 50}</t></tags>"
                         "</entry>")
        stream.write("</feed>")


def work(entries: int, folder: Path) -> list[str]:
    """Parse, walk and change the document, write it and parse that; return some titles."""
    root = etree.parse(folder / "feed.xml").getroot()
    titles = [entry.findtext(f"{{{SPACE}}}title") for entry in root]
    for entry in root.iterchildren():
        entry.set("seen", "yes")
        etree.SubElement(entry, f"{{{SPACE}}}rank").text = str(len(entry))
    ranks = root.xpath("//f:rank", namespaces={"f": SPACE})
    again = etree.fromstring(etree.tostring(root))
    assert len(ranks) == len(titles) == len(again) == entries
    return titles[::NAMED]


phases.run("xml_tree", work, {"entries": 40_000}, prepare)
