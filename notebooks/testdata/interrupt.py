"""Runs a notebook's cells; interrupts the first one that shows training's progress, as the stop button does, and runs it again.

    .venv/bin/python notebooks/testdata/interrupt.py NOTEBOOK

Prints one JSON line for the interrupted cell: seconds from the interrupt to its end, its error, and all that it showed; then
one for the same cell run again.
"""
import asyncio
import json
import os
import pathlib
import sys
import time

import nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
client = NotebookClient(notebook, timeout=300, allow_errors=True, resources={"metadata": {"path": str(pathlib.Path(sys.argv[1]).parent)}})


def shown(cell):
    return json.dumps(cell.outputs)


def report(cell, seconds):
    errors = [o for o in cell.outputs if o.output_type == "error"]
    print(json.dumps({"seconds": seconds, "error": bool(errors), "shown": shown(cell)}), flush=True)


async def main():
    async with client.async_setup_kernel():
        for index, cell in enumerate(notebook.cells):
            if cell.cell_type != "code":
                continue
            task = asyncio.ensure_future(client.async_execute_cell(cell, index))
            interrupted = None
            while not task.done():
                await asyncio.sleep(0.02)
                if interrupted is None and "<progress" in shown(cell):
                    interrupted = time.monotonic()
                    await client.km.interrupt_kernel()
            await task
            if interrupted is not None:
                report(cell, time.monotonic() - interrupted)
                cell.outputs = []
                await client.async_execute_cell(cell, index)
                report(cell, 0)
                return
    sys.exit("no cell showed progress")


asyncio.run(main())
