"""Corpora with fixed splits, folders of MIDI, windows, checked downloads and their cache."""
