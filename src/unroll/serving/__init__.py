"""Finished runs in use: predict, generate, and the model that MLflow loads."""

from unroll.serving.ensemble import ensemble
from unroll.serving.generation import generate
from unroll.serving.prediction import Predictor

__all__ = ["Predictor", "ensemble", "generate"]
