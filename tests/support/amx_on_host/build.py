"""_cpu with the instructions of AMX in plain C++: its kernels run on every x86 with AVX-512."""

from __future__ import annotations

import functools
import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType

from checkout import AMX_ON_HOST, ROOT, commands, kernels, objects

from ncg_fast import _cpu


def library() -> Path:
    """Linked from the installed objects, but for those two that know of tiles."""
    folder = kernels()
    made = ROOT / "build/amx_on_host" / f"_cpu{''.join(Path(_cpu.__file__).suffixes)}"
    headers = AMX_ON_HOST.glob("**/*.h")
    inputs = [*ROOT.glob("csrc/**/*.*"), *headers, folder / "build.ninja", *objects()]
    if made.exists() and made.stat().st_mtime > max(path.stat().st_mtime for path in inputs):
        return made
    made.parent.mkdir(parents=True, exist_ok=True)
    linked = []
    for source, (compiler, *flags) in commands(folder).items():
        linked.append(folder / Path(source).with_suffix(".o"))
        if Path(source).stem in ("amx", "dispatch"):
            linked[-1] = made.parent / Path(source).with_suffix(".o").name
            options = [f"-I{AMX_ON_HOST}", *flags, "-c", source, "-o", linked[-1]]
            subprocess.run([compiler, *options], cwd=ROOT, check=True)
    subprocess.run([compiler, "-shared", "-fopenmp", *linked, "-o", made], cwd=ROOT, check=True)
    return made


@functools.cache
def module() -> ModuleType:
    """The compiled module, beside the installed one, its instruction set "amx"."""
    spec = importlib.util.spec_from_file_location("amx_on_host._cpu", library())
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    loaded.use_instruction_set("amx")
    return loaded
