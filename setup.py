"""Build the extension module ncg_fast._cpu, each source with the flags of its instruction set."""

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

import ninja
import pybind11
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

IS_X86 = sysconfig.get_platform().endswith(("x86_64", "amd64"))

# No -ffast-math, no contraction: every instruction set must return the same bits. Coalescing of
# variables makes GCC 12 spill the sums of the inner loops: a quarter slower.
FLAGS = "-std=c++17 -O3 -g0 -fvisibility=hidden -fopenmp -Icsrc -ffp-contract=off "
FLAGS += "-fno-tree-coalesce-vars"

# Set by .ci/sanitize. Python's own flags have -fwrapv, under which no signed overflow is reported.
CHECK = os.environ.get("NCG_FAST_SANITIZE", "")
FLAGS += f" -fsanitize={CHECK} -fno-sanitize-recover=all -fno-wrapv -O2 -g1 -w" if CHECK else ""

# Lowest instruction set first: of an inline function compiled in several objects the linker keeps
# the first copy, and that one must run on every processor.
CPU_FLAGS = {
    "csrc/bindings_cpu.cpp": f"-I{shlex.quote(pybind11.get_include())}",
    "csrc/cpu/dispatch.cpp": "-DNCG_FAST_X86=1" if IS_X86 else "",
    "csrc/cpu/barrier.cpp": "",
    "csrc/cpu/scratch.cpp": "",
    "csrc/cpu/base.cpp": "",
}
AVX512 = "-mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mfma -mbmi2 "
AVX512 += "-mprefer-vector-width=512"
if IS_X86:
    CPU_FLAGS |= {
        "csrc/cpu/avx2.cpp": "-mavx2 -mfma -mbmi2",
        "csrc/cpu/avx512.cpp": AVX512,
        "csrc/cpu/amx.cpp": AVX512,  # and tiles, in assembly
    }


class BuildExtension(build_ext):
    """Compiles with ninja: in parallel, and again only what a changed source or header needs."""

    def build_extension(self, ext: Extension) -> None:
        if self.compiler.compiler_type != "unix":
            raise CompileError(
                f"setup: compiler must be GCC or Clang, got {self.compiler.compiler_type!r}. "
                "Build on Linux, or on Windows under WSL."
            )
        objects = self.compile_objects(ext)
        library, flags = self.get_ext_fullpath(ext.name), ext.extra_link_args
        self.compiler.link_shared_object(objects, library, extra_postargs=flags, target_lang="c++")

    def compile_objects(self, ext: Extension) -> list[str]:
        """Write build.ninja beside the objects, run it, return the objects in link order."""
        # Not build_temp, which is new and empty at every editable install.
        folder = Path("build", CHECK, f"{ext.name}-{self.plat_name}-{sys.implementation.cache_tag}")
        folder.mkdir(parents=True, exist_ok=True)
        command = [*self.compiler.compiler_so_cxx, *(f"-I{path}" for path in self.include_dirs)]
        compiler = shlex.join(command).replace("$", "$$")
        objects = [str(folder / Path(source).with_suffix(".o")) for source in ext.sources]
        with (folder / "build.ninja").open("w") as file:
            rules = ninja.Writer(file)
            rules.variable("builddir", str(folder))
            rules.rule(
                "compile",
                command=f"{compiler} {FLAGS} $flags -MMD -MF $out.d -c $in -o $out",
                description="compile $in",
                depfile="$out.d",
                deps="gcc",
            )
            for source, output in zip(ext.sources, objects, strict=True):
                flags = CPU_FLAGS[source].replace("$", "$$")
                rules.build(output, "compile", source, variables={"flags": flags})
        run_ninja = [sys.executable, "-m", "ninja", "-f", str(folder / "build.ninja")]
        if status := subprocess.run(run_ninja).returncode:
            raise CompileError(
                f"setup: {self.compiler.compiler_so_cxx[0]} must compile {ext.name} as C++17, got "
                f"exit status {status}. Read the first error above, or set CXX to another compiler."
            )
        return objects


setup(
    ext_modules=[
        Extension(
            "ncg_fast._cpu",
            sources=list(CPU_FLAGS),
            depends=sorted(str(path) for path in Path("csrc").rglob("*.*")),
            extra_link_args=FLAGS.split(),
            language="c++",
        )
    ],
    cmdclass={"build_ext": BuildExtension},
)
