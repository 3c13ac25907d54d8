"""Syntax trees: modules of the standard library are parsed, all trees are held as a linter holds
them, and dropped; the names of classes and functions are kept.

Runs alone on any CPython from 2.6 on; see measure.py for the line that it writes.
"""
import ast
import gc
import os

import measure

SHORTEST = 20000            # bytes of the sources that are taken


def sources(wanted):
    """Return the texts of so many (int) modules of the standard library, in order of their names;
    those with text that is not ASCII are left out."""
    folder = os.path.dirname(os.path.abspath(os.__file__))
    texts = []
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if name[-3:] == ".py" and os.path.getsize(path) >= SHORTEST and len(texts) < wanted:
            stream = open(path, "rb")
            content = stream.read()
            stream.close()
            try:
                texts.append(str(content.decode("ascii")))
            except UnicodeError:
                continue
    return texts


def names_in(tree):
    """Return the names of a tree's classes and functions with their lines."""
    return [(node.name, node.lineno) for node in ast.walk(tree)
            if isinstance(node, (ast.ClassDef, ast.FunctionDef))]


def main():
    """Run the phases, and write the line."""
    parameters = measure.options({"modules": 60, "idle": ""})
    texts = sources(parameters["modules"])
    recorder = measure.begin("syntax_trees")
    trees = [ast.parse(text) for text in texts]
    recorder.mark("parsed")
    names = [names_in(tree) for tree in trees]
    del trees
    gc.collect()
    recorder.mark("dropped")
    recorder.end(parameters, {"modules": len(texts), "names": sum(map(len, names))})


main()
