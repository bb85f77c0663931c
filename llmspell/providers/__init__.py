"""Models: what is said to them, who speaks for them, and which one is meant."""
