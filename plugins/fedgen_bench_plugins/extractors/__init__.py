"""Feature extractors behind FID, KID and the Inception Score. Importing this loads no heavy library."""

from fedgen_bench_plugins.extractors.loading import (
    NAMES,
    Extractor,
    Features,
    extractor_file,
    extractors_at_hand,
    load_extractor,
)

__all__ = ["NAMES", "Extractor", "Features", "extractor_file", "extractors_at_hand", "load_extractor"]
