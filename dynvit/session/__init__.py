"""The one way in: models and data sets, opened together and checked against each other."""
