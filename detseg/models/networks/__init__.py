"""The networks of the model families: one module per way from images to detections."""
