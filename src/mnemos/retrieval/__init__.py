"""Recall as pure functions on arrays: signals, fusion, time expressions, packing."""
