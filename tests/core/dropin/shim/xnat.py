"""`import xnat` gives xnat_luigi: what a script does that is moved over."""

import sys

import xnat_luigi
import xnat_luigi.exceptions

sys.modules["xnat"] = xnat_luigi
sys.modules["xnat.exceptions"] = xnat_luigi.exceptions
