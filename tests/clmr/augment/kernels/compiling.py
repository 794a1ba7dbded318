"""Compiles Triton kernels for GPUs that need not be there, and asks NVIDIA's assembler what they cost.

In a process of its own: the tests' process interprets kernels, and an interpreted kernel cannot be compiled.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

A100, H100 = 80, 90


@dataclass(frozen=True)
class Kernel:
    """A kernel and the types that it is compiled for."""

    module: str
    """Where it stands, such as ``clmr.augment.kernels.onepole``."""

    name: str
    """Of the function under ``@triton.jit``."""

    signature: dict[str, str]
    """Argument -> type (``*fp32``, ``i32``, ``fp32``), in order; the compile-time constants are left out."""

    constants: dict[str, int]
    """Compile-time argument -> value."""

    warps: int = 4
    """As at the launch."""


@dataclass(frozen=True)
class Compiled:
    """What became of a kernel on one GPU."""

    name: str
    capability: int
    """80 is an A100, 90 an H100."""

    ptx: str
    registers: int
    """Of a thread; 65,536 are shared by the threads of a multiprocessor."""

    spilled: int
    """Bytes of a thread that did not fit its registers."""

    stack: int
    """Bytes of a thread in local memory, spilled or indexed."""

    shared: int
    """Bytes of a program in shared memory."""


def compile_kernels(kernels: list[Kernel], cache: Path, capabilities: tuple[int, ...] = (A100, H100)) -> list[Compiled]:
    """Every kernel for every GPU; raises with the compiler's words where one does not compile.

    Args:
        kernels: what to compile.
        cache: an empty folder; Triton would hand out what it compiled before.
        capabilities: the GPUs.
    """
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    task = {"kernels": [asdict(kernel) for kernel in kernels], "capabilities": capabilities}
    done = subprocess.run(
        [sys.executable, __file__],
        input=json.dumps(task),
        env=environment | {"TRITON_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise AssertionError(done.stderr)
    return [Compiled(**result) for result in json.loads(done.stdout)]


def _compile(kernel: Kernel, capability: int) -> Compiled:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    function = getattr(import_module(kernel.module), kernel.name)
    signature = kernel.signature | dict.fromkeys(kernel.constants, "constexpr")
    order = [argument for argument in function.arg_names if argument in signature]
    if order != function.arg_names or set(signature) - set(order):
        raise TypeError(f"{kernel.name} takes {function.arg_names}, got {list(signature)}")
    # Tensors of PyTorch begin at a multiple of 16 bytes, which a launch would see.
    aligned = {
        (place,): [["tt.divisibility", 16]] for place, name in enumerate(order) if signature[name].startswith("*")
    }
    source = ASTSource(function, {name: signature[name] for name in order}, kernel.constants, aligned)
    target = GPUTarget("cuda", capability, 32)
    compiled = triton.compile(source, target=target, options={"num_warps": kernel.warps})
    if not compiled.asm["cubin"]:
        raise RuntimeError(f"{kernel.name} made no machine code")
    return Compiled(
        kernel.name, capability, compiled.asm["ptx"], **_assemble(compiled.asm["ptx"]), shared=compiled.metadata.shared
    )


def _assemble(ptx: str) -> dict[str, int]:
    """What ptxas reports of a kernel: registers, spilled bytes, bytes of stack."""
    import triton

    target = re.search(r"^\.target (\w+)", ptx, re.MULTILINE)
    assert target
    command = [triton.knobs.nvidia.ptxas.path, "-v", f"--gpu-name={target[1]}", "-o", os.devnull, "/dev/stdin"]
    report = subprocess.run(command, input=ptx, capture_output=True, text=True, check=True).stderr

    def number(pattern: str) -> int:
        found = re.search(pattern, report)
        assert found, report
        return int(found[1])

    return {
        "registers": number(r"Used (\d+) registers"),
        "spilled": number(r"(\d+) bytes spill stores"),
        "stack": number(r"(\d+) bytes stack frame"),
    }


def main() -> None:
    """Standard input: the task in JSON; standard output: its results."""
    task: dict[str, Any] = json.load(sys.stdin)
    kernels = [Kernel(**kernel) for kernel in task["kernels"]]
    results = [_compile(kernel, capability) for kernel in kernels for capability in task["capabilities"]]
    json.dump([asdict(result) for result in results], sys.stdout)


if __name__ == "__main__":
    main()
