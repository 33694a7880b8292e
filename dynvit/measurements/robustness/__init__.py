"""Accuracy and compute under attack."""
