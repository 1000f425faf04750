"""The command line: ``mnemos``, or ``python -m mnemos.cli``."""
