"""Syntax trees: modules of the standard library are parsed, walked, written back and compiled.

Recorded as a trace by `obmallocbench record`. Standard library only, the same each time.
"""
import argparse
import ast
import collections
import inspect
import random
import textwrap

MODULES = (argparse, ast, collections, inspect, random, textwrap)


def main():
    """Take each module apart and put it together again; the last tree lives beside the next."""
    names = collections.Counter()
    for module in MODULES:
        tree = ast.parse(inspect.getsource(module))
        for node in ast.walk(tree):
            names[type(node).__name__, getattr(node, "id", None)] += 1
        compile(ast.parse(ast.unparse(tree)), module.__name__, "exec")
    assert names["Module", None] == len(MODULES)


main()
