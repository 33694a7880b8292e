"""What a model is worth at an operating point: accuracy and compute, image by image."""
