"""The composition root: where stores, models and the kernel are put together into ``Memory``."""
