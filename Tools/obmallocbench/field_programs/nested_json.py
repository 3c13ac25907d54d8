"""Nested JSON: answers of a service are loaded, walked and dropped; names are remembered.

After reports that a process stays as large as the largest document that json.loads() gave it.
"""
import json

import phases

NAMED = 200                 # one of so many documents is remembered by its name


def document(number: int) -> str:
    """Return the text of a document with objects in lists in objects."""
    return json.dumps({"id": number, "name": f"document {number}", "parts": [
        {"key": f"{number}-{part}", "at": [part * 1.5, part * 2.5], "owner": {
            "id": part, "groups": [f"group {(number + part) % 97}", "all"],
            "rights": {"read": True, "write": part % 3 == 0}},
         "notes": [{"by": f"user {(number * part) % 1013}", "text": "x" * (part * 7 % 90)}
                   for _ in range(3)]}
        for part in range(12)]})


def work(documents: int, _) -> list[str]:
    """Load documents and sum up something; return what is remembered."""
    loaded = [json.loads(document(number)) for number in range(documents)]
    written = sum(part["owner"]["rights"]["write"] for one in loaded for part in one["parts"])
    assert written == 4 * documents
    return [one["name"] for one in loaded[::NAMED]]


phases.run("nested_json", work, {"documents": 9000})
