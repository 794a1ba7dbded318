"""The Million Song Dataset's splits in both published forms, with the true counts; pickles as Python 2 wrote them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

from tests.sharding.datasets.lookalike_place import audio

TAG_NAMES = (
    "rock,pop,alternative,indie,electronic,female vocalists,dance,00s,alternative rock,jazz,beautiful,metal,chillout,"
    "male vocalists,classic rock,soul,indie rock,Mellow,electronica,80s,folk,90s,chill,instrumental,punk,oldies,blues,"
    "hard rock,ambient,acoustic,experimental,female vocalist,guitar,Hip-Hop,70s,party,country,easy listening,sexy,"
    "catchy,funk,electro,heavy metal,Progressive rock,60s,rnb,indie pop,sad,House,happy"
)
TAGS = TAG_NAMES.split(",")
TRAIN, VALID, TEST = 201_680, 11_774, 28_435


def track_id(number: int) -> str:
    return f"TRAAA{number:06d}F4281"[:18].ljust(18, "Z")


def preview_id(number: int) -> int:
    return 1_000_000 + 37 * number


def preview(number: int, extension: str = ".mp3") -> str:
    digits = str(preview_id(number))
    return f"{digits[0]}/{digits[1]}/{digits}.clip{extension}"


def ones(number: int) -> list[int]:
    """The tags of a track: one to three of 50."""
    return sorted({number % 50, number // 7 % 50, number // 50 % 50})


def vector(number: int) -> list[int]:
    tags = ones(number)
    return [int(at in tags) for at in range(50)]


def tsv(train: int = 30, valid: int = 12, test: int = 9) -> dict[str, bytes]:
    """The tsv form, in the folder that the official code wants it in."""
    ends = {"train": (0, train), "val": (train, train + valid), "test": (train + valid, train + valid + test)}
    files = {
        f"processed_annotations/{name}_gt_msd.tsv": "".join(
            f"{track_id(number)}\t{vector(number)}\n" for number in range(*end)
        ).encode()
        for name, end in ends.items()
    }
    labels = "# Output labels\nMSD_LABELS = [" + ",".join(f"'{tag}'" for tag in TAGS) + "]\n\n"
    index = "".join(f"{track_id(number)}\tA/A/A/{track_id(number)}.mp3\n" for number in range(train + valid + test))
    return files | {
        "processed_annotations/output_labels_msd.txt": labels.encode(),
        "processed_annotations/index_msd.tsv": index.encode(),
        "processed_annotations/MSD_id_to_7D_id.pkl": py2_dict(
            (track_id(number), f"S'{preview_id(number)}'\n") for number in range(train + valid + test)
        ),
    }


def pickles() -> dict[str, bytes]:
    """The pickle form, complete."""
    held_out = TRAIN + VALID
    return {
        "MSD_split/filtered_list_train.cP": py2_list(map(track_id, range(held_out))),
        "MSD_split/filtered_list_test.cP": py2_list(map(track_id, range(held_out, held_out + TEST))),
        "MSD_split/msd_id_to_tag_vector.cP": py2_dict(
            (track_id(number), py2_array(number)) for number in range(held_out + TEST)
        ),
        "MSD_split/MSD_id_to_7D_id.pkl": py2_dict(
            (track_id(number), f"I{preview_id(number)}\n") for number in range(held_out + TEST)
        ),
        "MSD_split/7D_id_to_path.pkl": py2_dict(
            (str(preview_id(number)), f"S'{preview(number)}'\n") for number in range(held_out + TEST)
        ),
        "MSD_split/50tagList.txt": ("\n".join(TAGS) + "\n").encode(),
    }


def py2_list(texts: Iterable[str]) -> bytes:
    """A pickle of protocol 0."""
    return ("(lp1\n" + "".join(f"S'{text}'\np{at}\na" for at, text in enumerate(texts, 2)) + ".").encode()


def py2_dict(items: Iterable[tuple[str, str]]) -> bytes:
    """A pickle of protocol 0; the values are pickled already."""
    return ("(dp1\n" + "".join(f"S'{key}'\n{value}s" for key, value in items) + ".").encode()


def py2_array(number: int) -> str:
    """A track's tags as an array of float64, shape [1, 50], which is text of escaped bytes in protocol 0."""
    return _py2_array(tuple(ones(number)))


@cache
def _py2_array(tags: tuple[int, ...]) -> str:
    body = "".join("\\x00\\x00\\x00\\x00\\x00\\x00\\xf0?" if at in tags else "\\x00" * 8 for at in range(50))
    return (
        "cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
        "(I1\n(I1\nI50\nt"
        "cnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb"
        f"I00\nS'{body}'\ntb"
    )


def previews(numbers: Iterable[int], root: str = "", extension: str = ".mp3") -> dict[str, bytes]:
    return audio(*_names(numbers, root, extension))


def _names(numbers: Iterable[int], root: str, extension: str) -> Iterator[str]:
    return (root + preview(number, extension) for number in numbers)
