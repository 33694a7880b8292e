"""What a model decided about images, in words and in pictures."""
