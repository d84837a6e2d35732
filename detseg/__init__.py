"""detseg: pre-annotates images with detection and segmentation, and measures what people correct."""

__version__ = "0.1.0"
