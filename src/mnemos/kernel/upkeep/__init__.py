"""What a vault does for itself: work left for later, the life of memories, its indexes and its size."""
