"""Mnemos: a memory operating system for language models and agents."""
