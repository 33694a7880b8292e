"""Accuracy and compute: what makes a record."""
