"""Certificates: checks that a run's numbers do not depend on batching, padding, order, ranks or windows."""

from unroll.certificate.certification import certify, place_of

__all__ = ["certify", "place_of"]
