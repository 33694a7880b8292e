"""Accuracy and compute of models at operating points: the measurement that makes records."""
