"""What can be measured of a model at an operating point, each in a folder of its own."""
