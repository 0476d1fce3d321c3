"""The reference as HTML pages, made from the docstrings: ``python docs/reference.py FOLDER``.

All modules are on it but the insides of the stand-in, which nobody but its tests imports.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
import warnings
from pathlib import Path

import pdoc
import pdoc.render

import xnat_luigi

sys.path.insert(0, str(Path(__file__).parent))
import generated_classes

LEFT_OUT = (
    "xnat_luigi.cli.__main__",
    "xnat_luigi.standin.",
    "xnat_luigi._",
)
STANDIN = ("xnat_luigi.standin.server", "xnat_luigi.standin.faults", "xnat_luigi.standin.clock")


def modules() -> list[str]:
    """Names of the modules that have a page."""
    found = ["xnat_luigi"]
    for module in pkgutil.walk_packages(xnat_luigi.__path__, "xnat_luigi."):
        if module.name in STANDIN or not module.name.startswith(LEFT_OUT):
            found.append(module.name)
    return [*found, generated_classes.NAME]


def make(folder: Path, names: list[str]) -> None:
    """Write the pages of some modules into a folder."""
    if generated_classes.NAME in names:
        generated_classes.make_module()
    for name in names:
        module = importlib.import_module(name)
        for offered in getattr(module, "__all__", ()):
            # Names that are imported when they are first used are looked at without being used.
            setattr(module, offered, getattr(module, offered))
    pdoc.render.configure(
        docformat="numpy",
        footer_text=f"xnat_luigi {xnat_luigi.__version__}",
        template_directory=None,
        show_source=False,
    )
    with warnings.catch_warnings():
        # A package brings some of its modules along.
        warnings.filterwarnings("ignore", "The module specification")
        pdoc.pdoc(*names, output_directory=folder)


def main(argv: list[str] | None = None) -> int:
    """Write the pages and say where."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where the pages go")
    arguments = parser.parse_args(argv)
    make(arguments.folder, modules())
    sys.stdout.write(f"{arguments.folder / 'index.html'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
