"""Scripts of the official client run unchanged, with the same findings.

Left out are journeys that show a fault of that client, and those of XNAT's access levels, which
this one does not have.
"""

from __future__ import annotations

from tests.peers.test_xnatpy_reading import (  # noqa: F401
    test_A3_listings_and_filters,
    test_A6_7_the_same_bytes_at_every_level,
    test_B3_witness_lists_and_downloads_what_was_archived,
)
from tests.peers.test_xnatpy_services import (  # noqa: F401
    test_B5_B6_refresh_and_dump,
    test_B9_search,
)
from tests.peers.test_xnatpy_writing import (  # noqa: F401
    test_A5_create_everything,
    test_A5_share_and_delete,
    test_A6_4_upload_by_every_method,
)
