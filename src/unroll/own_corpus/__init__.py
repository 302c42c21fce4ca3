"""Corpora of one's own: understood, shown, doubted, and added to the project."""

from unroll.own_corpus.addition import add_corpus

__all__ = ["add_corpus"]
