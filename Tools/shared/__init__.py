"""What the families of Tools/ have in common.

    command    the parser of a command line, progress, and how a command ends: one line and a status
    files      files written whole or not at all, JSON, checksums
    processes  other programs: what they print, or in one line how they failed
    packages   packages of PyPI, in folders and virtual environments of our own
    forms      what a JSON document must hold

A script of Tools/ puts this folder's parent on sys.path. Runs on Python 3.8 and newer.
"""
