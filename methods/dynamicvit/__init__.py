"""DynamicViT."""
