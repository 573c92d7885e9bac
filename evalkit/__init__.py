"""The evaluation framework for symbolic-music generators: music, data, metrics, statistics and benchmarks."""

__version__ = "0.1.0"
