"""McGill Billboard on a look-alike of 1,300 slots: songs that charted twice, and audio however a user has named it."""

from __future__ import annotations

import csv
import io
import unicodedata

import pytest

from clmr.errors import ConfigError, SourceError
from sharding.datasets.billboard import read_billboard
from sharding.faults import Fault
from tests.sharding.datasets.lookalike_place import audio, request, splits

INDEX = "billboard-2.0-index.csv"
HEADER = "id,chart_date,target_rank,actual_rank,title,artist,peak_rank,weeks_on_chart"


def index(songs: dict[int, tuple[str, str]], slots: int) -> dict[str, bytes]:
    """The index, from artist and title by id; the other slots are not annotated."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(HEADER.split(","))
    for number in range(1, slots + 1):
        artist, title = songs.get(number, ("", ""))
        rest = (57, title, artist, 47, 8) if number in songs else ("", "", "", "", "")
        writer.writerow((number, f"{1958 + number % 34}-07-03", 56, *rest))
    return {INDEX: file.getvalue().encode()}


def slots() -> dict[int, tuple[str, str]]:
    """890 annotated slots of 740 songs: from 73 on every third slot is empty, and the last 150 repeat the first."""
    ids = [number for number in range(1, 1301) if number % 3 or number < 73][:890]
    return {number: (f"Artist {at % 740 % 90}", f"Title, No. {at % 740}") for at, number in enumerate(ids)}


def test_a_song_is_one_recording_however_often_it_charted() -> None:
    songs = slots()
    assert (len(songs), len(set(songs.values()))) == (890, 740)
    named = audio(*(f"audio/{1950 + 10 * (n % 4)}s/{a}/{t}/audio.flac" for n, (a, t) in songs.items() if n % 5 != 1))
    catalog = read_billboard(request(index(songs, 1300) | named))
    assert len(catalog.recordings) == 740
    assert splits(catalog, None, Fault.MISSING) == (592, 74, 74)
    assert all(recording.labels == () for recording in catalog.recordings)
    missing = {recording.key for recording in catalog.recordings if recording.fault is Fault.MISSING}
    assert 0 < len(missing) < 740
    assert catalog.recordings[0].key == "0001"
    other = read_billboard(request(index(songs, 1300) | named, seed=1))
    assert [recording.split for recording in other.recordings] != [recording.split for recording in catalog.recordings]


@pytest.mark.parametrize(
    "name",
    [
        "audio/1960s/James Brown/I Don't Mind/audio.flac",
        "audio/1970s/james brown/I DON'T MIND/audio.mp3",
        "audio/3.mp3",
        "audio/0003.ogg",
        "audio/0003/whatever it is.wav",
        "music/audio/0005.opus",
    ],
)
def test_audio_is_found_by_title_or_by_any_id(name: str) -> None:
    songs = {3: ("James Brown", "I Don't Mind"), 5: ("James Brown", "I Don't Mind"), 6: ("ABBA", "S.O.S.")}
    catalog = read_billboard(request(index(songs, 8) | audio(name) | {"McGill-Billboard/0003/full.lab": b""}))
    found, missing = catalog.recordings
    assert (found.key, found.song_id, found.source, found.fault) == ("0003", "0003", name, None)
    assert (missing.key, missing.source, missing.fault) == ("0006", "audio/0006.flac", Fault.MISSING)
    assert catalog.ignored == 1


def test_titles_with_slashes_and_accents_are_found() -> None:
    songs = {1: ("AC/DC", "Back"), 2: ("AC/DC", "Forth/Left"), 3: ("Beyoncé", "Déjà Vu")}
    accented = unicodedata.normalize("NFD", "audio/2000s/Beyoncé/Déjà Vu/audio.m4a")
    files = audio("audio/1980s/AC/DC/Back/audio.flac", "audio/1980s/AC_DC/Forth_Left/audio.flac", accented)
    catalog = read_billboard(request(index(songs, 3) | files))
    assert [recording.source for recording in catalog.recordings] == [*list(files)[:2], accented]
    assert [recording.fault for recording in catalog.recordings] == [None, None, None]


def test_what_is_missing_is_named() -> None:
    songs = {3: ("James Brown", "I Don't Mind")}
    with pytest.raises(SourceError, match=r"holds no billboard-2\.0-index\.csv; expected .* from the McGill Billboard"):
        read_billboard(request(audio("audio/3.mp3")))
    with pytest.raises(SourceError, match=r"1 of 1 audio files are missing, such as audio/0003\.flac; expected"):
        read_billboard(request(index(songs, 3) | audio("audio/4.mp3")))
    cut = {INDEX: index(songs, 9)[INDEX][:-8]}
    with pytest.raises(SourceError, match=r"index\.csv line 10: \d cells under 8 columns"):
        read_billboard(request(cut | audio("audio/3.mp3")))
    with pytest.raises(SourceError, match=r"index\.csv line 2: 'one' is no id"):
        read_billboard(request({INDEX: index(songs, 1)[INDEX].replace(b"\n1,", b"\none,")} | audio("audio/3.mp3")))
    with pytest.raises(ConfigError, match="billboard has only one version"):
        read_billboard(request(index(songs, 3), variant="461"))
