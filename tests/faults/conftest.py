"""Connections whose waits are counted, for all fault rows that need some."""

from ..connection.tried import tried

__all__ = ["tried"]
