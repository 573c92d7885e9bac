"""One adapter per file: everything that can stand in for a generator in a comparison."""
