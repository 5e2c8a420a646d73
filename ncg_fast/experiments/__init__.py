"""Runs in folders: what ``ncg-fast train`` writes and the other commands read."""
