"""labels.csv: what it gives, and one clear line for everything wrong with it."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clmr.errors import SourceError
from sharding.datasets.labels_csv import LabelRow, read_labels
from sharding.format import SPLITS

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0\r\n"), min_size=1).filter(
    lambda name: name == name.strip() and name not in {".", ".."}
)
TAGS = st.frozensets(st.text("abc äß日|,\"'", min_size=1).filter(lambda tag: tag == tag.strip() != ""))


def read(text: str | bytes) -> dict[str, LabelRow]:
    return read_labels(text if isinstance(text, bytes) else text.encode(), "music/labels.csv").rows


def test_all_columns() -> None:
    rows = read("path,tags,split,song_id\na.mp3,rock; slow;;rock,train,7\nb/c d.ogg,,test,\n")
    assert rows == {
        "a.mp3": LabelRow(frozenset({"rock", "slow"}), "train", "7"),
        "b/c d.ogg": LabelRow(frozenset(), "test", None),
    }


def test_only_the_path_is_required_and_order_and_case_are_free() -> None:
    assert read("Path\n./a//b.mp3\n") == {"a/b.mp3": LabelRow(frozenset(), None, None)}
    assert read("tags, PATH\nx,a.mp3\n") == {"a.mp3": LabelRow(frozenset({"x"}), None, None)}
    assert read("\ufeffpath,tags\r\n\r\na.mp3,x\r\n") == {"a.mp3": LabelRow(frozenset({"x"}), None, None)}


@given(st.dictionaries(NAMES, st.tuples(TAGS, st.sampled_from(SPLITS), NAMES)))
def test_what_csv_writes_is_read_back(rows: dict[str, tuple[frozenset[str], str, str]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("song_id", "path", "split", "tags"))
    for name, (tags, split, song) in rows.items():
        writer.writerow((f"{split} {song}", name, split, ";".join(tags)))  # a song stands in one split
    assert read(text.getvalue()) == {
        name: LabelRow(tags, split, f"{split} {song}") for name, (tags, split, song) in rows.items()
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: no column named path; it has no columns at all"),
        ("file,tags\n", "line 1: no column named path; it has file, tags"),
        ("path,tag\n", "line 1: unknown column 'tag'; allowed are path, tags, split, song_id"),
        ("path,path\n", "line 1: twice the column 'path'"),
        ("path,split\na.mp3,train\nb.mp3,dev\n", "line 3: split is 'dev', not one of train, valid, test"),
        ("path,split\na.mp3,\n", "line 2: split is '', not one of"),
        ("path\na.mp3\n\nb.mp3\n./a.mp3\n", "line 5: a.mp3 has a row already"),
        ("path\n../a.mp3\n", "line 2: ../a.mp3 does not lie below the folder"),
        ("path\n/etc/a.mp3\n", "line 2: /etc/a.mp3 does not lie below the folder"),
        ("path,tags\n,x\n", "line 2: the path is empty"),
        ("path;tags;split\na.mp3;x;train\n", "line 1: separate columns by commas, not by ';'"),
        ("path\ttags\na.mp3\tx\n", "line 1: separate columns by commas, not by '\\t'"),
        (
            "path,split,song_id\na.mp3,train,one\n\nb.mp3,test,one\n",
            "line 4: song one is in split test, but in train on line 2; give all recordings of a song one split",
        ),
        ("path,tags\na.mp3,x,y\n", "line 2: 3 cells under 2 columns"),
        ("path,tags\na.mp3\n", "line 2: 1 cells under 2 columns"),
        ('path\n"a.mp3\n', "line 2: not CSV"),
        (b"path\na.mp3\ncaf\xe9.mp3\n", "line 3: not UTF-8"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str | bytes, message: str) -> None:
    with pytest.raises(SourceError) as caught:
        read(text)
    assert f"labels.csv {message}" in str(caught.value)
    assert "\n" not in str(caught.value)
