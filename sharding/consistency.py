"""Do receipts, ``index.parquet`` and ``manifest.json`` say the same? No shard is opened."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from clmr.errors import ShardError
from sharding.assemble import concatenate, summarise
from sharding.format import INDEX_SCHEMA, Manifest, ShardInfo, read_index
from sharding.ownership import SHARD_FILE
from sharding.receipt import Receipt, read_note, read_receipt
from sharding.resume import read_receipts
from sharding.storage import Place


def check_receipts(root: Place, manifest: Manifest, files: Mapping[str, int]) -> dict[str, Receipt]:
    """The receipts by the names of their tars, in the order of the index; each agrees with the manifest.

    Args:
        root: folder of the shards.
        manifest: of the folder.
        files: name and bytes of all files in the folders of the splits.

    Raises:
        ShardError: names the first receipt that is missing, damaged or disagrees, or the first file without one.
    """
    expected = {**manifest.settings, **manifest.software}
    listed = {shard.name: shard for shard in manifest.shards}
    read = read_receipts(root)
    receipts: dict[str, Receipt] = {}
    for file in (name for name in files if name.endswith(".parquet") and SHARD_FILE.fullmatch(name.partition("/")[2])):
        path, stem = root.address(file), file.removesuffix(".parquet")
        receipt = read[stem] if stem in read else read_receipt(root, file)  # the latter says what is wrong with it
        for setting in sorted({*expected, *receipt.settings}):
            if receipt.settings.get(setting) != expected.get(setting):
                raise ShardError(
                    f"{path} was built with {setting} {receipt.settings.get(setting)}, "
                    f"manifest.json says {expected.get(setting)}: delete the one that is wrong and build again"
                )
        entry = listed.get(f"{stem}.tar")
        if receipt.shard != entry:
            raise ShardError(
                f"{root.address('manifest.json')} has {_described(entry)}, but {path} has {_described(receipt.shard)}; "
                f"{remedy(path)}"
            )
        receipts[f"{stem}.tar"] = receipt
    for name in listed:
        if name not in receipts:
            receipt_name = f"{name.rpartition('/')[2].removesuffix('.tar')}.parquet"
            raise ShardError(f"{root.address(name)}: its receipt {receipt_name} is missing; build again")
    if not receipts:
        raise ShardError(f"{root.name} has no receipts; build again")
    for file in files:
        found = receipts.get(f"{file.rpartition('.')[0]}.tar")
        if file.endswith((".tar", ".idx")) and file.partition("/")[2][0].isdigit() and not (found and found.shard):
            raise ShardError(f"{root.address(file)} belongs to no receipt; delete it and build again")
    return receipts


def check_index(root: Place, manifest: Manifest, by_name: Mapping[str, Receipt]) -> None:
    """The index is the receipts' rows, one after the other, and the manifest says of it what it is.

    Raises:
        ShardError: names the first row and column, or the entry of the manifest, that is wrong.
    """
    path = root.address("index.parquet")
    index, sha256 = read_index(root, "index.parquet")
    receipts = list(by_name.values())
    expected = concatenate(receipts)
    if not index.replace_schema_metadata().equals(expected):
        raise ShardError(_first_difference(path, index, expected))
    labels = tuple(read_note(path, index).get("labels", ()))
    summary = summarise(receipts, labels, manifest.settings, manifest.software, sha256)
    for file, digest in summary.sha256.items():
        if manifest.sha256.get(file) != digest:
            raise ShardError(
                f"{root.address(file)} has SHA-256 {digest}, manifest.json says {manifest.sha256.get(file)}; "
                f"{remedy(root.address(file))}"
            )
    for name, value in vars(summary).items():
        if getattr(manifest, name) != value:
            raise ShardError(
                f"{root.address('manifest.json')}: {name} is {getattr(manifest, name)!r}, the shards say {value!r}; "
                f"build again"
            )
    found, right = root.read("manifest.json"), manifest.to_json().encode()
    if found != right:
        raise ShardError(
            f"{root.address('manifest.json')} byte {first_difference(found, right)}: not as a build writes it; "
            f"build again"
        )
    for name, receipt in by_name.items():
        used = pc.unique(receipt.rows["labels"].combine_chunks().flatten()).to_pylist()
        stray = set(used) - set(labels)
        if stray:
            raise ShardError(
                f"{path} has labels of {name} outside the vocabulary: {', '.join(sorted(stray)[:5])}; "
                f"{remedy(root.address(name))}"
            )


def _described(shard: ShardInfo | None) -> str:
    return f"{shard.tracks} tracks in {shard.bytes} bytes of {shard.name}, {shard.sha256}" if shard else "no such shard"


def first_difference(found: bytes, right: bytes) -> int:
    """The first position at which two byte strings differ; where one begins the other, its length."""
    pairs = enumerate(zip(found, right, strict=False))
    return next((number for number, (one, other) in pairs if one != other), min(len(found), len(right)))


def _first_difference(path: str, index: pa.Table, expected: pa.Table) -> str:
    for number in range(min(index.num_rows, expected.num_rows)):
        if index.slice(number, 1).equals(expected.slice(number, 1)):
            continue
        row, right = index.slice(number, 1).to_pylist()[0], expected.slice(number, 1).to_pylist()[0]
        column = next(column for column in INDEX_SCHEMA.names if row[column] != right[column])
        what = _difference(column, row[column], right[column])
        return f"{path} row {number} ({right['key']}): {what}; build again"
    return f"{path} has {index.num_rows} rows, the receipts have {expected.num_rows}; build again"


def _difference(column: str, found: object, right: object) -> str:
    if isinstance(found, bytes) and isinstance(right, bytes):  # hundreds of levels
        return f"{column} differ from those of its receipt at byte {first_difference(found, right)}"
    return f"{column} is {found!r}, its receipt says {right!r}"


def remedy(path: str) -> str:
    """What makes a shard whole again: a build keeps every shard that has a receipt."""
    return f"delete {path.rpartition('.')[0]}.parquet and build again"
