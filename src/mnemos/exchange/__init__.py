"""What leaves a vault and comes back: archives of one subject, suppression lists."""
