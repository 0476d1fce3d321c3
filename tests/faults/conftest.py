"""Connections whose waits are counted, and a server with a bad certificate."""

from ..connection.tls import tls
from ..connection.tried import tried

__all__ = ["tls", "tried"]
