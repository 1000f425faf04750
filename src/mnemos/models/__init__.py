"""Embedding models behind the :class:`mnemos.kernel.ports.Embedder` port, and their weights.

Nothing is imported here: each module loads its own engine, and only when it is named.
"""
