"""Corpora with fixed splits."""
