"""Everything that is stored about one user: shown or erased."""
