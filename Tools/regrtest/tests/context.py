"""Puts the modules under test on the path."""

import sys
from pathlib import Path

sys.path[:0] = map(str, Path(__file__).resolve().parents[1:3])     # the modules, and shared
