"""The shared parts of memory methods: readers of messages, texts and conversation files."""
