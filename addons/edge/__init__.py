"""Impure edges: files, sockets, databases, clouds and clocks. Nothing here decides anything."""
