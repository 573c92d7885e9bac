"""Listening studies."""
