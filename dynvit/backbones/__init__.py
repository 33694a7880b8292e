"""What a method may rely on in a backbone: adapters of timm models, and the backbones that we register with timm."""
