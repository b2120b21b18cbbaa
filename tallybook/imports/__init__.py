"""Files that people made: read in bounded memory, checked, and imported."""
