"""Models that answer an image as soon as they are sure: the loop over exits, and thresholds for a budget."""
