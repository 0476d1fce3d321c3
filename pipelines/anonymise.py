"""A hook that takes identities away on the way in, by the library dicognito.

    export XNAT_LUIGI_PSEUDONYM_SEED='a secret of this site'
    xnat-luigi intake run FOLDER --server URL --naming naming.toml \
        --hook pipelines.anonymise:hide_identity

Names, IDs, dates and UIDs become others: always the same ones for the same patient and the same
seed, so that a second session of a patient is still theirs. Text burned into pixels stays: let QC
rules look for that.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from xnat_luigi.exceptions import XNATConfigError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["SEED", "hide_identity"]

SEED = "XNAT_LUIGI_PSEUDONYM_SEED"


def hide_identity(dataset: Dataset) -> None:
    """Replaces everything in a data set that tells whose it is; repeatable, as hooks must be.

    Raises:
        XNATConfigError: the library is not installed, or the seed is not set; without a seed every
            run would give other pseudonyms.
    """
    try:
        from dicognito.anonymizer import Anonymizer
    except ImportError as error:
        raise XNATConfigError(
            f"the library dicognito is missing ({error}): pip install 'xnat-luigi[anonymise]'"
        ) from None
    seed = os.environ.get(SEED)
    if not seed:
        raise XNATConfigError(f"set {SEED}: it decides the pseudonyms and must stay the same")
    # A new one each time: it is made in no time, and hooks are called in several threads.
    Anonymizer(seed=seed).anonymize(dataset)
