"""Build the extension modules of csrc/sources.py with ninja."""

import shlex
import subprocess
import sys
from pathlib import Path

import ninja
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

sys.path.insert(0, str(Path(__file__).parent / "csrc"))
from sources import CHECK, FLAGS, Module, cpu, cuda

MODULES = {module.name: module for module in (cpu(), cuda()) if module is not None}


class BuildExtension(build_ext):
    """Compiles with ninja: in parallel, and again only what a changed source or header needs."""

    def build_extension(self, ext: Extension) -> None:
        if self.compiler.compiler_type != "unix":
            raise CompileError(
                f"setup: compiler must be GCC or Clang, got {self.compiler.compiler_type!r}. "
                "Build on Linux, or on Windows under WSL."
            )
        objects = self.compile_objects(MODULES[ext.name])
        library, flags = self.get_ext_fullpath(ext.name), ext.extra_link_args
        self.compiler.link_shared_object(objects, library, extra_postargs=flags, target_lang="c++")

    def compile_objects(self, module: Module) -> list[str]:
        """Write build.ninja beside the objects, run it, return the objects in link order."""
        # Not build_temp, which is new and empty at every editable install.
        tag = f"{module.name}-{self.plat_name}-{sys.implementation.cache_tag}"
        folder = Path("build", CHECK, tag)
        folder.mkdir(parents=True, exist_ok=True)
        command = [*self.compiler.compiler_so_cxx, *(f"-I{path}" for path in self.include_dirs)]
        objects = [str(folder / Path(source).with_suffix(".o")) for source in module.sources]
        with (folder / "build.ninja").open("w") as file:
            rules = ninja.Writer(file)
            rules.variable("builddir", str(folder))
            rules.rule(
                "compile",
                command=f"{quoted(command)} {FLAGS} $flags -MMD -MF $out.d -c $in -o $out",
                description="compile $in",
                depfile="$out.d",
                deps="gcc",
            )
            # What the assembler says of registers and spills stays beside the object.
            nvcc = f"{quoted(module.nvcc)} -MD -MF $out.d -c $in -o $out"
            rules.rule(
                "compile_cuda",
                command=f"{nvcc} >$out.log 2>&1 || {{ cat $out.log; exit 1; }}",
                description="compile $in",
                depfile="$out.d",
                deps="gcc",
            )
            for source, output in zip(module.sources, objects, strict=True):
                flags = module.sources[source].replace("$", "$$")
                rule = "compile_cuda" if source.endswith(".cu") else "compile"
                rules.build(output, rule, source, variables={"flags": flags})
        run_ninja = [sys.executable, "-m", "ninja", "-f", str(folder / "build.ninja")]
        if status := subprocess.run(run_ninja).returncode:
            compilers = " and ".join([command[0], *module.nvcc[:1]])
            raise CompileError(
                f"setup: {compilers} must compile {module.name} as C++17, got exit status "
                f"{status}. Read the first error above, or set CXX to another compiler."
            )
        return objects


def quoted(command: list[str]) -> str:
    """The command for a shell in a file of ninja."""
    return shlex.join(command).replace("$", "$$")


setup(
    ext_modules=[
        Extension(
            name,
            sources=list(module.sources),
            depends=sorted(str(p) for p in Path("csrc").rglob("*.*") if p.suffix != ".pyc"),
            extra_link_args=module.link,
            language="c++",
        )
        for name, module in MODULES.items()
    ],
    cmdclass={"build_ext": BuildExtension},
)
