#!/usr/bin/env python3
"""Executes notebooks, in place unless --output says otherwise. Run it with the Python of .venv.

    .venv/bin/python kernels/execute.py [--kernel NAME] [--timeout SECONDS] [--output FILE] NOTEBOOK...

Without --kernel each notebook's own kernel is used. A cell that fails ends the program with exit code 1, and its notebook is
left as it was. Cells find STPRUNE_HEADLESS=1 in their environment: nobody is there to press a button.
"""
import argparse
import os
import pathlib
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Before Jupyter is imported: nothing outside the project's folder is read or written.
for variable, folder in {"CONFIG": "config", "DATA": "data", "RUNTIME": "run"}.items():
    os.environ[f"JUPYTER_{variable}_DIR"] = str(ROOT / ".jupyter" / folder)
os.environ["IPYTHONDIR"] = str(ROOT / ".jupyter" / "ipython")
os.environ["STPRUNE_HEADLESS"] = "1"
os.environ.setdefault("STPRUNE_RUNS", str(ROOT / "runs"))  # those of the command line, not of the notebook's folder

import nbformat  # noqa: E402
from nbclient import NotebookClient  # noqa: E402
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError  # noqa: E402


def execute(path, output, kernel, timeout):
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        kernel_name=kernel or notebook.metadata.get("kernelspec", {}).get("name", "stprune-cpu"),
        timeout=timeout,
        record_timing=False,  # executing again must not change the file
        resources={"metadata": {"path": str(path.resolve().parent)}},
    )
    start = time.monotonic()
    with client.setup_kernel():
        for index, cell in enumerate(notebook.cells):
            if cell.cell_type != "code":
                continue
            begin = time.monotonic()
            client.execute_cell(cell, index)
            print(f"{path.name}: cell {index}: {time.monotonic() - begin:.1f} s, {len(cell.outputs)} outputs", flush=True)
    temporary = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            nbformat.write(notebook, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, output)
    finally:
        temporary.unlink(missing_ok=True)
    print(f"{path.name}: {time.monotonic() - start:.1f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernel")
    parser.add_argument("--timeout", type=float, default=600, help="seconds for one cell")
    parser.add_argument("--output", type=pathlib.Path, help="file to write instead of the notebook itself")
    parser.add_argument("notebooks", nargs="+", type=pathlib.Path)
    arguments = parser.parse_args()
    if arguments.output and len(arguments.notebooks) > 1:
        parser.error("--output takes one notebook")
    for path in arguments.notebooks:
        try:
            execute(path, arguments.output or path, arguments.kernel, arguments.timeout)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            sys.exit(f"{path}: {error}")


if __name__ == "__main__":
    main()
