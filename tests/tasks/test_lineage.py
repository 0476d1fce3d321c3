"""Addresses of resources, and pictures of where results came from."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from xnat_luigi.exceptions import XNATValueError
from xnat_luigi.tasks.lineage import Node, draw_dot, draw_svg, draw_text, read_place
from xnat_luigi.uris import Address

RAW = Node("/data/experiments/E1/scans/1/resources/DICOM")
GONE = Node("/data/experiments/E1/resources/MASK", problem="there is no <such> resource")
RESULT = Node(
    "/data/experiments/E1/scans/1/resources/QUALITY",
    sources=(Node("/data/experiments/E1/scans/1/resources/NIFTI", sources=(RAW,)), RAW, GONE),
)


@pytest.mark.parametrize(
    ("uri", "address", "label"),
    [
        ("/data/experiments/E1/resources/R", Address(experiment="E1"), "R"),
        (
            "https://x.example/ctx/data/experiments/E1/scans/1/resources/R",
            Address(experiment="E1", scan="1"),
            "R",
        ),
        ("/data/archive/projects/P/resources/R", Address(project="P"), "R"),
        (
            "/data/experiments/E1/assessors/A/out/resources/R",
            Address(experiment="E1", assessor="A", direction="out"),
            "R",
        ),
    ],
)
def test_addresses_are_taken_apart(uri: str, address: Address, label: str) -> None:
    assert read_place(uri) == (address, label)


@pytest.mark.parametrize(
    "uri", ["", "NIFTI", "/data/experiments/E1", "/data/resources/R", "/data/x/E1/resources/R"]
)
def test_what_is_no_resource_is_refused(uri: str) -> None:
    with pytest.raises(XNATValueError, match="should look like"):
        read_place(uri)


def test_every_node_is_walked_once() -> None:
    assert [node.uri.rsplit("/", 1)[1] for node in RESULT.walk()] == [
        "QUALITY",
        "NIFTI",
        "DICOM",
        "MASK",
    ]


def test_the_pictures_show_every_node_and_problem() -> None:
    assert "no <such> resource" in draw_text(RESULT)
    dot = draw_dot(RESULT)
    assert dot.count(" -> ") == 4
    svg = ElementTree.fromstring(draw_svg(RESULT))
    texts = [element.text or "" for element in svg.iter() if element.tag.endswith("text")]
    assert len(texts) == 8
    boxes = [element for element in svg.iter() if element.tag.endswith("rect")]
    heights = {float(box.attrib["y"]) for box in boxes}
    assert len(heights) == 3, "raw data above NIFTI above the result"
