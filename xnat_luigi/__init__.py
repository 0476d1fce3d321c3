"""xnat_luigi: XNAT imaging archives as a Luigi data source, and a documented client.

Importing the package is cheap: nothing of Luigi, lxml or pydicom is loaded until it is needed.
"""

from ._version import __version__

__all__ = ["__version__"]
