"""Files: what is found in folders, what is written whole or not at all, and which names outputs get."""

import os
from pathlib import Path

import pytest

from colorlib.errors import RunError
from colorlib.files import (
    count_not_read,
    find_files,
    find_inputs,
    free_name,
    is_named_as_picture,
    printable,
    replacing,
    why_not_read,
    write_atomic,
)


def test_find_files_is_sorted_and_leaves_out_what_is_hidden(tmp_path):
    for name in ("b.JPG", "a.png", "sub/c.webp", ".hidden.png", ".git/d.png", "e.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in find_files(tmp_path)]
    assert found == ["a.png", "b.JPG", "e.txt", "sub/c.webp"]


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_find_files_follows_links_and_enters_each_folder_once(tmp_path):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.png").touch()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "sub" / "up").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "broken.png").symlink_to("nowhere")
    found = [path.relative_to(tmp_path / "in").as_posix() for path in find_files(tmp_path / "in")]
    assert found == ["broken.png", "link/a.png"]


def test_a_folder_that_may_not_be_entered_is_named(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert find_files(tmp_path) == [tmp_path / "closed"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.JPG", True), ("a.tif", True), ("a.webp", True), ("a.txt", False), ("a", False), ("a.eps", False)],
)
def test_names_of_pictures(name, expected):
    assert is_named_as_picture(Path(name)) is expected


@pytest.mark.parametrize(
    ("suffix", "kind"), [(".HEIC", "HEIC"), (".jxl", "JPEG XL"), (".nef", "camera RAW"), (".jpg", None), (".txt", None)]
)
def test_kinds_of_photographs_that_are_not_read(suffix, kind):
    reason = why_not_read(suffix)
    assert reason is None if kind is None else reason.startswith(f"{kind} is not read; ")


def test_photographs_that_are_not_read_are_counted_by_suffix():
    lines = count_not_read(["a/1.HEIC", "a/2.heic", "b.dng", "c.jpg", "notes.txt"])
    assert [line.split(":")[0] for line in lines] == ["2 .heic left out", "1 .dng left out"]


def test_a_photograph_of_a_kind_that_is_not_read_may_not_be_left_out_of_a_folder(tmp_path):
    for name in ("a.heic", "b.cr3", "c.txt", "d.jpg"):
        (tmp_path / name).write_bytes(b"x")
    found = find_inputs(tmp_path, tmp_path / "out")
    assert [(item.source.name, item.optional) for item in found] == [
        ("a.heic", False), ("b.cr3", False), ("c.txt", True), ("d.jpg", False),
    ]  # fmt: skip


def test_patterns_are_expanded_where_no_file_has_that_name(tmp_path):
    for name in ("b.jpg", "a.jpg", "c.png", "deep/d.jpg", "[1].jpg", ".hidden.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")

    def found(*patterns):
        names = [
            item.source.relative_to(tmp_path) for item in find_inputs([tmp_path / p for p in patterns], tmp_path / "o")
        ]
        return [name.as_posix() for name in names]

    assert found("*.jpg") == ["[1].jpg", "a.jpg", "b.jpg"] and found("?.png") == ["c.png"]
    assert found("[1].jpg") == ["[1].jpg"]  # a file of that name is no pattern
    assert found("**/*.jpg", "a.jpg") == ["[1].jpg", "a.jpg", "b.jpg", "deep/d.jpg"]
    assert found("*.gif") == ["*.gif"]  # whatever reads it reports that it is missing


def test_a_path_is_printed_in_one_line():
    assert printable(Path("a/Größe 色.png")) == str(Path("a/Größe 色.png"))
    assert printable("a\nb\x1b[31m\udcff\\") == "a\\nb\\x1b[31m\\udcff\\"


# --- writing ---


def test_a_failed_block_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(KeyError), replacing(tmp_path / "a") as temporary:
        temporary.write_text("half")
        raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == ["a"] and (tmp_path / "a").read_text() == "old"


def test_a_name_as_long_as_the_system_allows_can_be_written(tmp_path):
    path = tmp_path / ("x" * 255)
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"


def test_what_cannot_be_written_is_named(tmp_path):
    with pytest.raises(RunError, match=r"cannot write .*gone.*No such file"):
        write_atomic(tmp_path / "gone" / "a", b"")


# --- names of outputs ---


def test_outputs_never_share_a_name(tmp_path):
    taken: set[str] = set()
    sources = [tmp_path / folder / "a.jpg" for folder in ("one", "two", "three", "three")]
    names = [
        free_name(tmp_path, Path(), name, source, taken).name
        for source, name in zip(sources, ("a.jpg", "A.JPG", "a.jpg", "a.jpg"), strict=True)
    ]
    assert names == ["a.jpg", "two-A.JPG", "three-a.jpg", "2-a.jpg"]
