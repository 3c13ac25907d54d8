"""What a JSON document must hold.

A form is a type or a tuple of types; a dictionary stands for one with at least these keys, a list
of one form for a list of such, not empty.
"""
from __future__ import annotations


def problems(value: object, form: object, place: str = "report") -> list[str]:
    """Return where value departs from form, one sentence each; an empty list when nowhere."""
    if isinstance(form, dict):
        if not isinstance(value, dict):
            return [f"{place} is no object"]
        return [problem for key, part in form.items() for problem in (
            problems(value[key], part, f"{place}.{key}") if key in value
            else [f"{place}.{key} is missing"])]
    if isinstance(form, list):
        if not isinstance(value, list) or not value:
            return [f"{place} is no list, or empty"]
        return [problem for index, item in enumerate(value)
                for problem in problems(item, form[0], f"{place}[{index}]")]
    if not isinstance(value, form):
        return [f"{place} has the wrong type {type(value).__name__}"]
    return []
