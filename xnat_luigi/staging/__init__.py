"""Bytes on disk; knows nothing of XNAT."""
