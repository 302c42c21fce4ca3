"""Certificates: whether what must not change a run's numbers does not."""

from unroll.certificate.certification import certify

__all__ = ["certify"]
