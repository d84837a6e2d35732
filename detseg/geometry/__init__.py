"""Boxes and masks as pure numpy: conversions, overlaps, matching."""
