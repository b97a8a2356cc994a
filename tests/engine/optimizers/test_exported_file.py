"""The optimizer file: what is written is read back, and whatever else lies there is refused by name."""

import json
import os
import pickle
import tracemalloc
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from l2o_engine.optimizers.learned import exported_file
from l2o_engine.optimizers.learned.exported import Exported, Origin, Seen
from l2o_engine.optimizers.learned.exported_file import FORMAT, OptimizerFileError, content_of
from l2o_engine.optimizers.learned.inputs import Identity, Log, LogAndSign, Momenta
from l2o_engine.optimizers.learned.learned_optimizer import LearnedOptimizer
from l2o_engine.optimizers.learned.networks import LSTM, MLP, ByGroup
from l2o_engine.optimizers.learned.networks.by_group import Member
from l2o_engine.support.tensor_file import digest_of, to_bytes
from l2o_engine.support.wording import is_seen

EVIL = "lstm0\x1b[2J\u202e.kernel\n"
FORMAT_1 = Path(__file__).parents[2] / "data" / "optimizers" / "format1.safetensors"
"""What the first version with such files has written."""
_ALLOWED = 6_000_000  # bytes beside the file's own: what the longest header may be once it is parsed
_TENSORS = ("input_projection.kernel", "lstm0.kernel")

ORIGIN = Origin(
    run="log30-s3",
    preset="log30",
    problem="quadratic",
    seed=3,
    iteration=40,
    steps=20,
    seen=Seen((1e-9, 4.5), (2e-5, 1.0)),
    versions={"numpy": "2.0"},
)


def an_optimizer(learned: LearnedOptimizer | None = None, dtype: str = "float32", **changes: Any) -> Exported:
    learned = learned or LearnedOptimizer(LSTM(layers=1, hidden=3), Log(min_log=-5.0))
    weights = np.linspace(-1, 1, learned.layout.size).astype(dtype)
    numbers = {name: value - 1 / 3 for name, value in learned.inputs.numbers.items()}
    made = Exported(learned, weights, numbers, ORIGIN, {"name": "log30", "unroll": {"steps": 20}})
    return replace(made, **changes)


GOOD = content_of(an_optimizer())


def parts_of(content: bytes) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """Return a file's header, its document, and its weights."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    return header, json.loads(header["__metadata__"]["l2o"]), content[end:]


def file_of(header: Any, body: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def with_document(**changes: Any) -> bytes:
    """Return the good file with other things in its document, and a sha256 that fits."""
    header, document, body = parts_of(GOOD)
    return signed(header, json.dumps(document | changes), body)


def signed(header: dict[str, Any], text: str, body: bytes) -> bytes:
    tensors = {
        name: np.frombuffer(body[slice(*place["data_offsets"])], "<f4").reshape(place["shape"])
        for name, place in header.items()
        if name != "__metadata__"
    }
    metadata = header["__metadata__"] | {"l2o": text, "sha256": digest_of(text, tensors)}
    return file_of(header | {"__metadata__": metadata}, body)


def with_network(**changes: Any) -> bytes:
    return with_document(network=parts_of(GOOD)[1]["network"] | changes)


def with_origin(**changes: Any) -> bytes:
    return with_document(origin=parts_of(GOOD)[1]["origin"] | changes)


def with_metadata(**changes: Any) -> bytes:
    header, _, body = parts_of(GOOD)
    metadata = {name: value for name, value in (header["__metadata__"] | changes).items() if value is not None}
    return file_of(header | {"__metadata__": metadata}, body)


def with_place(name: str, **changes: Any) -> bytes:
    header, _, body = parts_of(GOOD)
    return file_of(header | {name: header[name] | changes}, body)


def with_tensors(change: Callable[[dict[str, Any]], dict[str, Any]]) -> bytes:
    """Return a whole file, well signed, of other tensors than the settings have."""
    header, document, _ = parts_of(GOOD)
    exported = an_optimizer()
    tensors = change(dict(exported.learned.layout.split(exported.weights)))
    text = json.dumps(document)
    metadata = header["__metadata__"] | {"l2o": text, "sha256": digest_of(text, tensors)}
    return to_bytes(tensors, metadata)


def with_weight(value: float) -> bytes:
    """Return the good file with one weight that is no number, well signed."""
    header, document, body = parts_of(GOOD)
    return signed(header, json.dumps(document), np.array(value, "<f4").tobytes() + body[4:])


def moved_by_one_bit() -> bytes:
    return GOOD[:-1] + bytes([GOOD[-1] ^ 1])


def a_checkpoint() -> bytes:
    return to_bytes({"seed0.learner.weights.x": np.zeros(3, "f4")}, {"l2o": '{"format": 3}', "sha256": ""})


def overlapping() -> bytes:
    header, _, body = parts_of(GOOD)
    one, other = _TENSORS
    start, length = header[one]["data_offsets"][0], 4 * int(np.prod(header[other]["shape"]))
    return file_of(header | {other: header[other] | {"data_offsets": [start, start + length]}}, body)


CONTENTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "0 bytes"),
    "five bytes": (GOOD[:5], "5 bytes"),
    "a pickle": (pickle.dumps({"w": [1.0]}), "pickle"),
    "no header": (b"RIFFRIFFRIFF", "claims a header"),
    "a header of exabytes": ((2**60).to_bytes(8, "little") + b"{}", "claims a header"),
    "a header beyond the bound": (file_of(b" " * 2_000_000, b""), "claims a header"),
    "cut in the header": (GOOD[:100], "ends within its header"),
    "cut in the weights": (GOOD[:-4], "bytes of weights"),
    "more than it should be": (GOOD + b"\0" * 8, "bytes of weights"),
    "a header that is no JSON": (file_of(b"{'a': 1}", b""), "header cannot be read"),
    "a header that is no table": (file_of([1, 2], b""), "no table"),
    "a deep header": (file_of(b'{"a":' * 40_000, b""), "header cannot be read"),
    "a header of empty lists": (file_of(b'{"a":[' + b"[]," * 80_000 + b"0]}", b""), "header"),
    "metadata that are no texts": (file_of({"__metadata__": {"l2o": 3}}, b""), "header is wrong"),
    "somebody's safetensors": (to_bytes({"w": np.zeros(3, "f4")}, {}), "do not say"),
    "a checkpoint": (a_checkpoint(), "checkpoint"),
    "a later format": (with_metadata(format="l2o-optimizer/2"), "l2o-optimizer/2"),
    "an evil format": (with_metadata(format="l2o-optimizer/\x1b[2J"), "\\x1b"),
    "no document": (with_metadata(l2o=None), "no document"),
    "a document that is no JSON": (with_metadata(l2o="{"), "metadata are wrong"),
    "a deep document": (with_metadata(l2o='{"preset":' * 10_000), "metadata are wrong"),
    "no digest": (with_metadata(sha256=None), "damaged"),
    "another digest": (with_document(digest="0" * 64), "digest"),
    "no network": (with_document(network=None), "network"),
    "an unknown kind": (with_network(kind="lstn"), 'did you mean "lstm"'),
    "an evil kind": (with_network(kind=EVIL), "\\x1b"),
    "a kind that is a table": (with_network(kind={"a": 1}), "network.kind"),
    "an unknown setting": (with_network(hooks="os.system"), "hooks"),
    "a setting of another type": (with_network(hidden="3"), "hidden"),
    "a setting without end": (with_network(hidden=10**30), "hidden"),
    "no unit": (with_network(hidden=0), "hidden"),
    "settings of gigabytes": (with_network(layers=16, hidden=1024), "bytes of weights"),
    "a network of lists": (with_document(network={"kind": "by_group", "of": [{}] * 1000}), "of"),
    "other inputs": (with_document(inputs={"kind": "identity"}), "numbers"),
    "inputs of another width": (with_document(inputs={"kind": "log_and_sign"}, numbers={}), "bytes of weights"),
    "a number that is none": (with_document(numbers={"min_log": float("nan")}), "numbers"),
    "a number without end": (with_document(numbers={"min_log": float("inf")}), "numbers"),
    "a number that cannot be": (with_document(numbers={"min_log": 0.0}), "min_log"),
    "an unknown dtype": (with_document(dtype="object"), "dtype"),
    "another dtype": (with_document(dtype="float64"), "bytes of weights"),
    "another dtype of a tensor": (with_place("lstm0.kernel", dtype="F64"), "float64"),
    "integers": (with_place("lstm0.kernel", dtype="I32"), "I32"),
    "an evil dtype": (with_place("lstm0.kernel", dtype="\x1b]0;x\x07"), "\\x1b"),
    "another shape": (with_place("lstm0.kernel", shape=[12, 6]), "[12, 6]"),
    "a shape below 0": (with_place("lstm0.kernel", shape=[-1, -72]), "header is wrong"),
    "a shape without end": (with_place("lstm0.kernel", shape=[2**62, 2**62]), "lstm0.kernel"),
    "places that overlap": (overlapping(), "does not begin"),
    "a place that ends before it begins": (with_place("lstm0.bias", data_offsets=[48, 0]), "ends before"),
    "a place beyond the end": (with_place("lstm0.bias", data_offsets=[10**15, 10**15 + 48]), "does not begin"),
    "a place of another size": (with_place("lstm0.bias", data_offsets=[24, 73]), "lstm0.bias"),
    "weights that are missing": (with_tensors(lambda of: {n: of[n] for n in of if n != "lstm0.bias"}), "bytes of"),
    "weights of another name": (
        with_tensors(lambda of: {("lstm9.bias" if n == "lstm0.bias" else n): of[n] for n in of}),
        "missing",
    ),
    "weights that are too many": (with_tensors(lambda of: of | {EVIL: np.zeros(0, "f4")}), "\\x1b"),
    "a weight that is no number": (with_weight(float("nan")), "lost"),
    "a weight without end": (with_weight(float("inf")), "lost"),
    "a bit of the weights": (moved_by_one_bit(), "damaged"),
    "a bit of the document": (GOOD.replace(b"log30-s3", b"log30-s2"), "damaged"),
    "a seed below 0": (with_origin(seed=-1), "seed"),
    "a seed of a thousand digits": (with_origin(seed=10**1000), "seed"),
    "a run of no name": (with_origin(run=None), "run"),
    "steps that are a text": (with_origin(steps="20"), "steps"),
    "what was seen is no number": (with_origin(seen={"loss": [float("nan"), 1.0], "gradient_rms": [0.0, 1.0]}), "seen"),
}


def assert_is_refused(path: Path, why: str, file_size: int) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(OptimizerFileError) as refused:
            Exported.load(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    message = str(refused.value)
    assert why in message
    assert path.name in message
    assert len(refused.value.lines) == 1
    assert all(map(is_seen, message))
    assert len(message) < 500
    assert peak < file_size + _ALLOWED


@pytest.mark.parametrize("name", CONTENTS)
def test_a_hostile_file_is_refused_by_name_and_takes_no_memory(name: str, tmp_path: Path) -> None:
    content, why = CONTENTS[name]
    path = tmp_path / "theirs.safetensors"
    path.write_bytes(content)
    assert_is_refused(path, why, len(content))


def test_what_torch_saves_is_never_read(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", pickle.dumps({"w": [1.0]}))
    assert_is_refused(path, "zip", path.stat().st_size)


def test_a_sparse_file_of_terabytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse.safetensors"
    path.write_bytes(GOOD)
    os.truncate(path, 2**41)
    assert_is_refused(path, "bytes of weights", 0)


def test_weights_that_no_memory_is_there_for_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.safetensors"
    path.write_bytes(with_network(layers=16, hidden=1024))
    end = 8 + int.from_bytes(path.read_bytes()[:8], "little")
    weights = 4 * LearnedOptimizer(LSTM(layers=16, hidden=1024), Log(min_log=-5.0)).layout.size
    os.truncate(path, end + weights)  # as long as its settings say, and takes no room on the disk
    monkeypatch.setattr(exported_file, "available_memory", lambda: (10**6, "this machine"))
    assert_is_refused(path, "of memory", 0)


def test_a_folder_a_pipe_and_a_device_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zeros").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("folder", "pipe", "zeros", "loop", "nothing", "nowhere/x"):
        assert_is_refused(tmp_path / name, "cannot be read", 0)


def test_the_name_of_a_file_is_shown_and_means_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[2J.safetensors"
    path.write_bytes(b"")
    with pytest.raises(OptimizerFileError, match=r"a\\x1b\[2J"):
        Exported.load(path)


def test_a_link_that_the_user_names_is_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(GOOD)
    (tmp_path / "link").symlink_to("mine")
    assert Exported.load(tmp_path / "link").digest == an_optimizer().digest


@given(data=st.data())
def test_a_file_with_other_bytes_is_refused_or_is_the_same(data: st.DataObject, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "mutated.safetensors"
    places = data.draw(st.lists(st.integers(0, len(GOOD) - 1), min_size=1, max_size=3))
    content = bytearray(GOOD)
    for place in places:
        content[place] = data.draw(st.integers(0, 255))
    kept = data.draw(st.sampled_from([len(GOOD), data.draw(st.integers(0, len(GOOD)))]))
    path.write_bytes(content[:kept])
    try:
        found = Exported.load(path)
    except OptimizerFileError:
        return
    assert found.digest == an_optimizer().digest  # spaces behind the header, or nothing was changed
    assert found.origin == ORIGIN


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
KEYS = st.sampled_from(["network", "inputs", "numbers", "dtype", "digest", "origin", "preset", "x"])


@given(changes=st.dictionaries(KEYS, VALUES))
def test_any_document_is_read_or_refused(changes: dict[str, Any], tmp_path_factory: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "document.safetensors"
    path.write_bytes(with_document(**changes))
    said = ""
    try:
        assert Exported.load(path).learned == an_optimizer().learned
    except OptimizerFileError as refused:
        said = str(refused)
    assert all(map(is_seen, said))


GROUPS = ByGroup(
    of=(
        Member(name="conv", groups=("conv",), network=MLP(hidden=2)),
        Member(name="rest", groups=("*",), network=LSTM(layers=1, hidden=2)),
    )
)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "learned",
    [
        LearnedOptimizer(LSTM(layers=2, hidden=3, output_scale=0.1), LogAndSign(k=10)),
        LearnedOptimizer(LSTM(layers=1, hidden=2), Log(min_log=-5.0, residual=1e-30, adaptive=True)),
        LearnedOptimizer(MLP(layers=1, hidden=2), Momenta()),
        LearnedOptimizer(GROUPS, Identity()),
    ],
    ids=["lstm", "adaptive", "mlp", "by group"],
)
def test_what_is_written_is_read_back(learned: LearnedOptimizer, dtype: str, tmp_path: Path) -> None:
    ours, path = an_optimizer(learned, dtype), tmp_path / "mine.safetensors"
    ours.save(path)
    found = Exported.load(str(path))
    assert found.learned == ours.learned
    assert_array_equal(found.weights, ours.weights, strict=True)
    assert (found.numbers, found.origin, found.tables, found.digest) == (
        (ours.numbers, ours.origin, ours.tables, ours.digest)
    )
    again = LearnedOptimizer.load(path)
    assert_array_equal(again.weights, ours.weights, strict=True)
    assert again.numbers == ours.numbers


def test_a_large_file_is_held_once_while_it_is_read(tmp_path: Path) -> None:
    learned, path = LearnedOptimizer(LSTM(layers=2, hidden=512)), tmp_path / "large.safetensors"
    an_optimizer(learned).save(path)
    tracemalloc.start()
    try:
        found = Exported.load(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.weights.nbytes > 10_000_000
    assert peak < 1.2 * found.weights.nbytes  # a byte a weight of the largest tensor, to see that it is finite


def test_safetensors_reads_it_by_the_names_of_the_weights(tmp_path: Path) -> None:
    ours, path = an_optimizer(), tmp_path / "mine.safetensors"
    ours.save(path)
    for name, values in ours.learned.layout.split(ours.weights).items():
        assert_array_equal(load_file(path)[name], values, strict=True)
    with safe_open(path, "np") as file:
        assert file.metadata()["format"] == FORMAT


def test_a_file_that_safetensors_has_written_anew_is_read(tmp_path: Path) -> None:
    path = tmp_path / "theirs.safetensors"
    path.write_bytes(GOOD)
    with safe_open(path, "np") as file:
        metadata = file.metadata()
    save_file(load_file(path), path, metadata)  # in another order
    assert Exported.load(path).digest == an_optimizer().digest


def test_the_same_optimizer_is_the_same_file() -> None:
    assert content_of(an_optimizer()) == GOOD


def test_an_optimizer_without_a_past_is_written_and_read(tmp_path: Path) -> None:
    ours = an_optimizer(origin=Origin("theirs", "", "", 0, -1, 0), tables={})
    ours.save(tmp_path / "x")
    assert Exported.load(tmp_path / "x").origin == ours.origin


def test_a_lost_network_is_not_written(tmp_path: Path) -> None:
    lost = an_optimizer()
    lost.weights[7] = np.nan
    with pytest.raises(OptimizerFileError, match=r"log30-s3.*not finite"):
        lost.save(tmp_path / "lost")
    assert list(tmp_path.iterdir()) == []


def test_settings_without_end_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(OptimizerFileError, match="longer than"):
        an_optimizer(tables={"title": "x" * 1_000_000}).save(tmp_path / "long")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(OptimizerFileError, match="nowhere"):
        an_optimizer().save(tmp_path / "nowhere" / "x")


def test_what_a_later_version_says_of_the_origin_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "later.safetensors"
    path.write_bytes(with_origin(mood="good"))
    assert Exported.load(path).origin == ORIGIN


def test_a_file_of_this_format_is_read_by_every_version() -> None:
    found = Exported.load(FORMAT_1)
    assert found.digest == an_optimizer().digest == "da5ef638472246ee74743a7147d7f9c739db207e7405d14c833273041f0fcd4f"
    assert (found.learned, found.origin, found.numbers) == (an_optimizer().learned, ORIGIN, an_optimizer().numbers)
    assert_array_equal(found.weights, an_optimizer().weights, strict=True)


def test_the_digest_does_not_depend_on_what_is_written_of_defaults_or_told_of_the_origin(tmp_path: Path) -> None:
    ours, path = an_optimizer(), tmp_path / "short.safetensors"
    path.write_bytes(with_document(network={"kind": "lstm", "layers": 1, "hidden": 3, "output_scale": 1}))
    assert Exported.load(path).digest == ours.digest
    assert replace(ours, origin=replace(ORIGIN, seed=4), tables={}).digest == ours.digest


@pytest.mark.parametrize(
    "other",
    [
        an_optimizer(LearnedOptimizer(LSTM(layers=1, hidden=3, forget_bias=0.5), Log(min_log=-5.0))),
        an_optimizer(LearnedOptimizer(LSTM(layers=1, hidden=3), Log(min_log=-5.5))),
        an_optimizer(LearnedOptimizer(LSTM(layers=1, hidden=3), Log(min_log=-5.0, adaptive=True))),
        an_optimizer(numbers={"min_log": -6.0}),
        an_optimizer(dtype="float64"),
        an_optimizer(weights=an_optimizer().weights + np.float32(1e-7)),
    ],
)
def test_the_digest_tells_optimizers_apart(other: Exported) -> None:
    assert other.digest != an_optimizer().digest


def test_kinds_that_have_no_setting_of_their_own_are_told_apart() -> None:
    first = GROUPS.of[0]
    swapped = ByGroup(of=(replace(first, network=LSTM(layers=1, hidden=2)), GROUPS.of[1]))
    assert an_optimizer(LearnedOptimizer(GROUPS)).digest != an_optimizer(LearnedOptimizer(swapped)).digest
