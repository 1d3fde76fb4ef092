#!/usr/bin/env python3
"""Prints which names of PyTorch are not there, by family: torch, Tensor, torch.linalg, torch.nn.functional.

    PYTHON=~/torch/bin/python; $PYTHON scripts/missing.py

Needs PyTorch in the Python that runs it, and builds Moongrad if it must. What PyTorch has for sparse, quantised, complex and
named tensors, for other devices, for tracing and for its own innards is left out.
"""
import pathlib
import re
import subprocess
import sys
import tempfile

import torch
import torch.nn.functional as F

LEFT_OUT = re.compile(
    "quant|sparse|cudnn|mkldnn|fbgemm|conj|complex|imag|real$|miopen|hspmm|sspaddmm|smm$|named|rename|cuda|xpu|ipu|hip|mtia|maia|vulkan|"
    "int_repr|q_|dequant|crow|ccol|row_ind|col_ind|refine|^is_(?!floating_point|tensor|leaf|contiguous|inference|nonzero|same_size|signed)|"
    "jit|script|trace$|compile|export|dlpack|distributed|autocast|storage|device|stream|backend|profiler|deterministic|printoption|"
    "vitals|package|sym_|cond$|while_loop|share_memory|pin_memory|record_stream|module_load|has_names|align|resolve_|untyped|boolean_dispatch|"
    "handle_torch|has_torch|unsafe_|assert|classproperty|typename|segment_reduce|_copy$|reinforce|frombuffer|from_file|asarray|"
    "TYPE_CHECKING|fork|wait|import_|parse_|read_vitals|prepare_|obj|hash_tensor|cpp|Union|Optional|Any|List|Callable|BroadcastingList|"
    "^(gradcheck|gradgradcheck|boxing|inspect|math|sys|warnings|ctypes|builtins|glob|platform|textwrap|threading|functools|importlib)$")
FAMILIES = {"torch": torch, "Tensor": torch.Tensor, "linalg": torch.linalg, "functional": F}
OURS = {"torch": "mg", "Tensor": "mg.zeros(1)", "linalg": "(function() local ok, found = pcall(function() return mg.linalg end) return ok and found or {} end)()", "functional": "mg.nn.functional"}


def wanted(place):
    for name in sorted(dir(place)):
        value = getattr(place, name)
        if name.startswith("_") or name[0].isupper() or LEFT_OUT.search(name):
            continue
        if callable(value) and not isinstance(value, type) or place is torch.Tensor and not callable(value):
            yield name


def present(family, names):
    lines = "\n".join(
        f"do local ok, found = pcall(function() return place[{name!r}] end) if ok and found ~= nil then print({name!r}) end end"
        for name in names)
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(f'local mg = require "moongrad"\nlocal place = {OURS[family]}\n{lines}\n')
        script.flush()
        command = [pathlib.Path(__file__).with_name("moongrad"), script.name]
        return set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())


def main():
    for family, place in FAMILIES.items():
        names = list(wanted(place))
        have = present(family, names)
        missing = [name for name in names if name not in have]
        if family in ("torch", "Tensor"):
            # Methods that are functions here, and the reverse, are there.
            other = present("Tensor" if family == "torch" else "torch", missing)
            missing = [name for name in missing if name not in other]
        print(f"{family}: {len(names) - len(missing)} of {len(names)} are there; missing are")
        print("   ", " ".join(missing) or "none")


if __name__ == "__main__":
    sys.exit(main())
