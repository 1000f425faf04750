"""What leaves a vault, and whether anything is left of what was erased."""
