"""Representations of music: pieces as notes, piano rolls and voices, each with a stated grid."""
