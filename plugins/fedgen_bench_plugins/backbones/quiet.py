"""transformers without its progress bars and remarks, and with global random streams left where they are."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from fedgen_bench import seeded_globals


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """While models and tokenizers are read."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings(), seeded_globals(0):
            warnings.filterwarnings("ignore", category=FutureWarning)
            yield
    finally:
        logging.set_verbosity(verbosity)
