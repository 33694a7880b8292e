"""What a method may rely on in a backbone: views on timm models, and the backbones that we register with timm."""
