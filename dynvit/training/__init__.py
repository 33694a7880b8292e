"""Training: stages in order, by a loop that knows no method."""
