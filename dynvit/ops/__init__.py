"""Pure tensor functions: selecting and packing tokens, straight-through gates. No model in sight."""
