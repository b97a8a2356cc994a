"""Kernels that are kept: loaded only if whole and only from where nobody else can write, and compiled once."""

import os
import pickle
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from l2o_engine.backends.choose import BackendError, choose
from l2o_engine.backends.compiled import compile as compiling
from l2o_engine.backends.compiled.place import cache_folder
from l2o_engine.backends.forward import choose_forward
from l2o_engine.backends.fused import kernel
from l2o_engine.backends.fused.backend import FusedBackend, get_forward
from l2o_engine.backends.fused.spec import forward_part, spec_of
from l2o_engine.meta.objectives.end_log import EndLog
from l2o_engine.support.processes import Child, EndedError
from l2o_engine.tasks.formula import generate
from tests.engine.kernels import compile_kernels
from tests.engine.tiny import draw, new_learner, tiny_preset

pytestmark = pytest.mark.timeout(600)  # the first time, a kernel is compiled

PRESET = tiny_preset("run.backend=auto")  # whose kernel others compile too
SPEC = spec_of(PRESET.experiment)
NOBODY = 65534
is_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


@pytest.fixture(scope="module")
def content() -> bytes:
    """The file that the kernel is kept in."""
    compile_kernels([PRESET])
    return (cache_folder() / f"{compiling._name(SPEC, kernel.ENTRIES)}.l2o").read_bytes()


@pytest.fixture
def folder(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of kernels, which holds this one; compiling gives the same without taking its time."""
    monkeypatch.setenv("L2O_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(Child, "run", compiler_that_gives(content))
    monkeypatch.setattr(compiling, "_unkept", {})
    kernels = cache_folder()
    kernels.mkdir(parents=True, mode=0o755)
    (kernels / f"{compiling._name(SPEC, kernel.ENTRIES)}.l2o").write_bytes(content)
    return kernels


class CompiledError(Exception):
    """The kernel is compiled."""


def compiler_that_gives(content: bytes) -> object:
    def run(self: Child, command: Sequence[str], **options: object) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.CompletedProcess(command, 0, content, b"")

    return run


def compiler_that_must_not(self: Child, command: Sequence[str], **options: object) -> None:
    raise CompiledError


def kept(folder: Path) -> Path:
    return folder / f"{compiling._name(SPEC, kernel.ENTRIES)}.l2o"


def check_that_it_computes(backend: FusedBackend) -> None:
    learner, _ = backend.train(new_learner(PRESET, backend), draw(PRESET, 3))
    assert not learner.diverged


def test_a_kernel_that_is_kept_is_loaded_and_nothing_is_compiled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Child, "run", compiler_that_must_not)
    before = kept(folder).stat().st_mtime_ns
    check_that_it_computes(FusedBackend(PRESET.experiment))
    assert kept(folder).stat().st_mtime_ns == before
    assert [path.name for path in folder.iterdir()] == [kept(folder).name]


def test_a_kernel_is_named_after_every_module_that_it_is_made_of() -> None:
    packages = [Path(str(module.__file__)).parent for module in (compiling, kernel, generate)]
    modules = {path for package in packages for path in package.rglob("*.py") if path.name != "backend.py"}
    assert {path.read_bytes() for path in modules} == set(kernel.SOURCES)


def test_another_sympy_is_another_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    name = compiling._name(SPEC, kernel.ENTRIES)
    monkeypatch.setattr(kernel, "VERSIONS", "1.99")
    assert compiling._name(SPEC, kernel.ENTRIES) != name


def test_the_folder_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("L2O_CACHE_DIR", str(tmp_path))
    assert cache_folder() == tmp_path / "kernels"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("L2O_CACHE_DIR", "here")
    assert cache_folder() == tmp_path / "here" / "kernels"
    monkeypatch.delenv("L2O_CACHE_DIR")
    assert os.fspath(cache_folder()).endswith("kernels")


# Damage.


@pytest.mark.parametrize("bit", [0, 5])
def test_a_flipped_bit_anywhere_is_seen(content: bytes, bit: int) -> None:
    """Of 40 such, Numba's own cache took 3 for good and crashed on 6."""
    assert compiling._decode(content, compiling._name(SPEC, kernel.ENTRIES), kernel.ENTRIES) is not None
    places = {*range(0, len(content), len(content) // 40), *range(300), len(content) - 1}
    for place in sorted(places):
        damaged = bytearray(content)
        damaged[place] ^= 1 << bit
        assert compiling._decode(bytes(damaged), compiling._name(SPEC, kernel.ENTRIES), kernel.ENTRIES) is None, place


@given(st.data())
def test_a_kernel_that_is_cut_or_overwritten_is_not_taken(content: bytes, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(content) - 1))
    last = data.draw(st.integers(first, len(content)))
    instead = data.draw(st.binary(max_size=40))
    damaged = content[:first] + instead + content[last:]
    assert (compiling._decode(damaged, compiling._name(SPEC, kernel.ENTRIES), kernel.ENTRIES) is None) == (
        damaged != content
    )


@pytest.mark.parametrize("what", ["flipped", "empty", "of another shape"])
def test_a_damaged_kernel_is_compiled_again_and_kept_whole(folder: Path, content: bytes, what: str) -> None:
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    other = content.replace(compiling._name(SPEC, kernel.ENTRIES).encode(), b"l2o_kernel_" + b"0" * 20)
    kept(folder).write_bytes({"flipped": bytes(flipped), "empty": b"", "of another shape": other}[what])
    choice = choose(PRESET.experiment, "auto")
    assert (choice.preparation, choice.notice) == ("compiling the kernel, once (some seconds)", "")
    backend, _ = choice.load()
    assert backend.name == "fused"
    assert kept(folder).read_bytes() == content


# Who can have written it.


class Trap:
    """What does harm when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('the trap was sprung')",)


def trapped() -> bytes:
    """Return a kernel of this shape, whole, that somebody else has made."""
    return compiling._encode(dict.fromkeys(kernel.ENTRIES, pickle.dumps(Trap())), compiling._name(SPEC, kernel.ENTRIES))


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757])
@pytest.mark.parametrize("place", ["folder", "above"])
def test_what_lies_where_others_can_write_is_not_loaded(folder: Path, place: str, mode: int) -> None:
    kept(folder).write_bytes(trapped())
    (folder if place == "folder" else folder.parent).chmod(mode)
    choice = choose(PRESET.experiment, "auto")
    assert choice.preparation == "compiling the kernel, for this run only (some seconds)"
    assert "others can write to" in choice.notice
    assert "chmod go-w" in choice.notice
    check_that_it_computes(FusedBackend(PRESET.experiment))
    assert kept(folder).read_bytes() == trapped()  # and it is not written there either


def test_the_folder_above_may_be_one_like_tmp(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.parent.chmod(0o1777)  # there, others cannot replace what is ours
    monkeypatch.setattr(Child, "run", compiler_that_must_not)
    check_that_it_computes(FusedBackend(PRESET.experiment))
    folder.chmod(0o1777)
    assert choose(PRESET.experiment, "auto").to_compile


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o646])
def test_a_file_that_others_can_write_is_compiled_anew(folder: Path, content: bytes, mode: int) -> None:
    kept(folder).write_bytes(trapped())
    kept(folder).chmod(mode)
    check_that_it_computes(FusedBackend(PRESET.experiment))
    assert kept(folder).read_bytes() == content
    assert not kept(folder).stat().st_mode & 0o022


@is_root
@pytest.mark.parametrize("place", ["file", "folder", "above"])
def test_what_belongs_to_another_user_is_not_loaded(folder: Path, place: str) -> None:
    kept(folder).write_bytes(trapped())
    os.chown({"file": kept(folder), "folder": folder, "above": folder.parent}[place], NOBODY, -1)
    check_that_it_computes(FusedBackend(PRESET.experiment))
    if place != "file":
        compiling._unkept.clear()
        assert "belongs to another user (number 65534)" in choose(PRESET.experiment, "auto").notice


def test_links_are_not_followed(folder: Path, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(trapped())
    kept(folder).unlink()
    kept(folder).symlink_to(tmp_path / "elsewhere")
    check_that_it_computes(FusedBackend(PRESET.experiment))
    assert not kept(folder).is_symlink()  # the link has gone, and what it named has not been written
    assert (tmp_path / "elsewhere").read_bytes() == trapped()
    folder.rename(tmp_path / "moved")
    folder.symlink_to(tmp_path / "moved")
    assert choose(PRESET.experiment, "auto").to_compile


def test_a_pipe_in_the_place_of_a_kernel_does_not_hang(folder: Path) -> None:
    kept(folder).unlink()
    os.mkfifo(kept(folder))
    check_that_it_computes(FusedBackend(PRESET.experiment))
    assert kept(folder).is_file()


@pytest.mark.parametrize(
    ("umask", "file", "above"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700), (0o002, 0o644, 0o755)]
)
def test_modes_are_by_the_umask_and_never_let_others_write(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, umask: int, file: int, above: int
) -> None:
    monkeypatch.setenv("L2O_CACHE_DIR", str(tmp_path / "new" / "cache"))
    before = os.umask(umask)
    try:
        FusedBackend(PRESET.experiment)
    finally:
        os.umask(before)
    fresh = cache_folder()
    assert [path.stat().st_mode & 0o7777 for path in (kept(fresh), fresh, fresh.parent)] == [file, above, above]


def test_a_shared_installation_that_cannot_be_written_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path, mode in ((kept(folder), 0o444), (folder, 0o555), (folder.parent, 0o555)):
        path.chmod(mode)
    monkeypatch.setattr(Child, "run", compiler_that_must_not)
    check_that_it_computes(FusedBackend(PRESET.experiment))


def test_where_nothing_can_be_kept_it_is_said_and_a_process_compiles_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("L2O_CACHE_DIR", str(tmp_path / "file"))
    choice = choose(PRESET.experiment, "auto")
    assert choice.notice == (
        f"the kernel was compiled for this run only: {tmp_path}/file/kernels cannot be used (Not a directory)"
    )
    assert choice.load()[0].name == "fused"
    monkeypatch.setattr(Child, "run", compiler_that_must_not)
    check_that_it_computes(FusedBackend(PRESET.experiment))


# The process that compiles.


def test_it_is_told_for_which_cpu_and_nothing_else_of_numba_s_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NUMBA_CACHE_DIR", "NUMBA_DEBUG", "NUMBA_OPT", "NUMBA_DISABLE_JIT", "NUMBA_CACHE_LOCATOR_CLASSES"):
        monkeypatch.setenv(name, "1")
    settings = {name for name in compiling._environment() if name.startswith("NUMBA_")}
    assert settings <= {"NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_ENABLE_AVX", "NUMBA_DISABLE_INTEL_SVML"}


def test_what_it_says_last_is_why_it_failed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept(folder).unlink()
    failed = subprocess.CompletedProcess([], 1, b"", b"some\nlines\nMemoryError\n")
    monkeypatch.setattr(Child, "run", lambda *_, **__: failed)
    with pytest.raises(compiling.CompilationError, match=r"^MemoryError$"):
        FusedBackend(PRESET.experiment)
    backend, reason = choose(PRESET.experiment, "auto").load()
    assert (backend.name, reason) == ("torch", "not fused: the kernel could not be compiled (MemoryError)")


def test_it_can_be_given_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept(folder).unlink()
    monkeypatch.undo()
    monkeypatch.setenv("L2O_CACHE_DIR", str(folder.parent))
    choice = choose(PRESET.experiment, "auto")
    choice.give_up()
    with pytest.raises(EndedError):
        choice.load()
    assert list(folder.iterdir()) == []


def test_asked_for_by_name_it_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("l2o_engine.backends.fused.backend.is_told_not_to_compile", lambda: True)
    with pytest.raises(
        BackendError, match=r'^backend "fused" cannot run this experiment: Numba is told not to compile'
    ):
        choose(PRESET.experiment, "fused")


def test_asking_makes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("L2O_CACHE_DIR", str(tmp_path / "a" / "b" / "c"))
    assert choose(PRESET.experiment, "auto").notice == ""
    assert not (tmp_path / "a").exists()
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").chmod(0o777)
    assert "others can write to" in choose(PRESET.experiment, "auto").notice


# Going forward only.


def test_a_kernel_that_only_looks_gives_what_the_whole_one_gives_and_is_used_where_that_is_not_there(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = PRESET.experiment
    whole = FusedBackend(experiment)
    learner, problems = new_learner(PRESET, whole), draw(PRESET, 20)
    optimizer = experiment.trained.with_weights(learner.weights, learner.numbers)
    expected = whole.evaluate(learner, problems)
    with monkeypatch.context() as patch:
        patch.setattr(Child, "run", compiler_that_must_not)  # the whole one is there
        assert_array_equal(choose_forward(experiment).losses(optimizer, problems, 4), expected)
    part = forward_part(SPEC)
    compiling.get_kernel(part, entries=kernel.FORWARD)
    forward = cache_folder() / f"{compiling._name(part, kernel.FORWARD)}.l2o"
    monkeypatch.setenv("L2O_CACHE_DIR", str(tmp_path / "cache"))
    assert choose_forward(experiment, may_compile=False).name == "torch"
    monkeypatch.setattr(Child, "run", compiler_that_gives(forward.read_bytes()))
    get_forward.cache_clear()
    others = replace(experiment, objective=EndLog(), second_derivatives=not experiment.second_derivatives)
    alone = choose_forward(others)
    assert alone.name == "fused"
    assert_array_equal(alone.losses(optimizer, problems, 4), expected)
    assert choose_forward(experiment, may_compile=False).name == "fused"  # the same goes for all objectives
    longer = alone.losses(optimizer, problems, 9)
    assert_array_equal(longer[..., :4], expected)
    np.testing.assert_allclose(longer, choose_forward(experiment, "torch").losses(optimizer, problems, 9), rtol=1e-4)
    with pytest.raises(RuntimeError, match="only goes forward"):
        get_forward(SPEC).meta_iterations()


def test_where_no_kernel_can_be_compiled_torch_goes_forward(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("L2O_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(Child, "run", compiler_that_must_not)
    get_forward.cache_clear()
    assert choose_forward(PRESET.experiment).name == "torch"
    with pytest.raises(CompiledError):
        choose_forward(PRESET.experiment, "fused")
