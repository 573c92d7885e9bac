"""Statistics shared by benchmarks and listening studies: bootstrap, permutation, comparison, multiplicity."""
