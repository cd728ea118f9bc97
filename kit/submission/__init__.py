"""The submission archive: layout, checks, ONNX exports. Checking imports no torch."""
