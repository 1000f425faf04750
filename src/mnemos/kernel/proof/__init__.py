"""Whether a vault says the truth, and where what it says comes from."""
