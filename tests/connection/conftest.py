"""Connections whose waits are counted, for all tests of this folder."""

from .tried import tried

__all__ = ["tried"]
