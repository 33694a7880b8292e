"""Pure tensor functions: selecting and packing tokens, straight-through gates. They know no model."""
