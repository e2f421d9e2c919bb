"""Further sources of labels: what a user writes of one, its events, and its galaxies."""
