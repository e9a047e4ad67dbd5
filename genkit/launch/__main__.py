"""One rank of `run_together`: `python -m genkit.launch FOLDER PARENT`."""

from __future__ import annotations

import ctypes
import logging
import os
import pickle
import signal
import sys
import traceback
from pathlib import Path
from typing import NoReturn

from genkit.errors import UNFINISHED, GenkitError, Unfinished
from genkit.launch.output import printed
from genkit.launch.ranks import leave, ranks
from genkit.launch.signals import end_with_work
from genkit.launch.together import INTERRUPTED, error_file, trace_file


def be_one(folder: Path, parent: int) -> NoReturn:
    """Be one rank of those that the process `parent` has started; their files are in the folder."""
    end_with(parent)
    end_with_work()
    me = ranks()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("genkit").setLevel(logging.INFO if me.is_first else logging.ERROR)
    try:
        function, arguments = pickle.loads((folder / "call").read_bytes())
        result = function(**arguments)
        if me.is_first:
            (folder / "result").write_bytes(pickle.dumps(result))
    except (GenkitError, Unfinished) as error:
        _leave_behind(error_file(folder, me.rank), pickle.dumps(error))
        leave(UNFINISHED if isinstance(error, Unfinished) else 2)
    except KeyboardInterrupt:
        leave(INTERRUPTED)
    except BaseException:
        _leave_behind(trace_file(folder, me.rank), traceback.format_exc().encode())
        leave(1)
    leave()


def _leave_behind(file: Path, content: bytes) -> None:
    """Whole or not there, since ranks are killed at any time."""
    fresh = file.with_suffix(".new")
    fresh.write_bytes(content)
    fresh.replace(file)


def end_with(parent: int) -> None:
    """Have Linux kill this process when its parent dies, so that no rank works on unseen."""
    if sys.platform == "linux":
        death_signal = 1  # PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(death_signal, signal.SIGKILL)
    if os.getppid() != parent:  # it died before it was asked for
        os._exit(1)


if __name__ == "__main__":
    with printed():
        be_one(Path(sys.argv[1]), int(sys.argv[2]))
