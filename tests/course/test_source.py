"""The library's source as a notebook shows it."""

import pytest

import colorlib
from colorlib.course import source
from colorlib.course.source import source_markdown


def test_a_function_is_shown_with_its_place(monkeypatch):
    monkeypatch.setattr(source, "repository", lambda: None)
    text = source_markdown(colorlib.losses.bce_d_loss)
    assert text.startswith("`colorlib/losses.py`\n\n```python\n")
    assert "def bce_d_loss(" in text and "softplus" in text and text.endswith("\n```")


def test_the_place_is_a_link_where_the_address_is_known(monkeypatch):
    monkeypatch.setattr(source, "repository", lambda: "https://github.com/a/b")
    text = source_markdown(colorlib.PatchGAN)
    assert text.startswith(
        "[`colorlib/discriminators.py`](https://github.com/a/b/blob/main/colorlib/discriminators.py)"
    )
    assert "class PatchGAN" in text


def test_the_address_is_read_from_the_installed_package(monkeypatch):
    class Metadata:
        @staticmethod
        def get_all(name):
            return ["Site, https://a.example", "Repository, https://github.com/a/b"]

    monkeypatch.setattr(source.metadata, "metadata", lambda name: Metadata)
    assert source.repository() == "https://github.com/a/b"


def test_what_is_not_of_colorlib_is_refused():
    with pytest.raises(ValueError, match="expected a function or class of colorlib, got one of json"):
        source_markdown(__import__("json").dumps)
