"""Accuracy and compute under common corruptions."""
