"""Layers and ways of calling a network, each in a network of a few thousand weights."""

from __future__ import annotations

BLOCKS = {}
