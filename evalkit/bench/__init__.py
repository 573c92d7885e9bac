"""Suites, shards and records: running a benchmark so that it can be killed and resumed."""
