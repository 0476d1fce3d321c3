"""A fingerprint says what files a resource holds, and what it can prove."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from xnat_luigi.rest.records import File
from xnat_luigi.targets.resource import fingerprint

digests = st.text(alphabet="0123456789abcdef", min_size=32, max_size=32)
files = st.lists(
    st.builds(File, path=st.text(min_size=1), size=st.integers(0, 2**50), digest=digests),
    unique_by=lambda file: file.path,
    max_size=6,
)


@given(files, st.randoms(use_true_random=False))
def test_the_order_of_a_listing_does_not_matter(listed: list[File], chance: object) -> None:
    shuffled = list(listed)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert fingerprint(shuffled) == fingerprint(listed)


@given(files, files)
def test_equal_fingerprints_mean_equal_files(one: list[File], two: list[File]) -> None:
    def table(listed: list[File]) -> set[tuple[str, int | None, str]]:
        return {(file.path, file.size, file.digest) for file in listed}

    assert (fingerprint(one) == fingerprint(two)) == (table(one) == table(two))


@given(files)
def test_a_missing_digest_is_admitted(listed: list[File]) -> None:
    bare = [*listed, File("\0extra", 1, "")]
    assert fingerprint(bare).endswith(":-")
    assert not fingerprint(listed).endswith(":-")


def test_count_and_bytes_can_be_read_off() -> None:
    word = fingerprint([File("a", 10, "0" * 32), File("b", 5, "1" * 32)])
    assert word.startswith("v1:2:15:")
