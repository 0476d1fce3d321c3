"""Fixtures for tests of your own pipelines."""
