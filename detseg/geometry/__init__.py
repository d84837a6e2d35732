"""Boxes and masks, with numpy and hotcoco: conversions, overlaps, matching."""
