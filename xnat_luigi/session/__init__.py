"""Sessions of the documented client; `xnat_luigi.connect` makes them."""

from .facade import BaseXNATSession, XNATSession
from .progress import default_update_func

__all__ = ["BaseXNATSession", "XNATSession", "default_update_func"]
