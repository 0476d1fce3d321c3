"""Objects, listings and what they keep: the base of the documented client.

Everything that talks to the server goes through `rest/` and the session's own verbs.
"""

from .cache import caching, registry_of
from .listings import XNATBaseListing, XNATListing
from .making import clear_listings, create_object
from .objects import XNATBaseObject, XNATObject
from .parts import XNATNestedObject, XNATSubObject
from .session import SessionLike, external_url, local_path
from .sublistings import XNATSimpleListing, XNATSubListing
from .variables import CustomVariableMap, VariableMap

__all__ = [
    "CustomVariableMap",
    "SessionLike",
    "VariableMap",
    "XNATBaseListing",
    "XNATBaseObject",
    "XNATListing",
    "XNATNestedObject",
    "XNATObject",
    "XNATSimpleListing",
    "XNATSubListing",
    "XNATSubObject",
    "caching",
    "clear_listings",
    "create_object",
    "external_url",
    "local_path",
    "registry_of",
]
