"""What a person starts: reading images, writing ONNX, the interactive notebook."""
