"""What a server's XSD files say: read into plain records, named as documented, kept on disk.

Nothing here executes anything a server sent: names become strings in records, and
`xnat_luigi.classes` makes classes from these with `type()`.
"""

from __future__ import annotations
