"""Generators of symbolic music: adapters, baselines and (later) the networks of the papers."""
