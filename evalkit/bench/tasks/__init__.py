"""One task per file: what is asked of a generator, and what is recorded of its answer."""
