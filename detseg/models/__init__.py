"""Predictors: images in, instances out. The only room that knows torch, timm and transformers.

``predictor`` and ``combine`` know neither; ``loading`` is the way in: ``load_predictor``.
"""
