"""Where a user's own text or images are, and how they are split: the table `[task.params.source]`. Imports little."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

OWN_TEXT, OWN_IMAGES = "text_folder", "image_folder"


@dataclass(frozen=True)
class TextSource:
    """The user's own text.

    Args:
        path: a folder of text files or of tables, or one such file.
        files: which files of a folder, as a pattern below it (`**/*.md`); empty for all of a kind that is known.
        text_column: the column of a table that holds a document's text.
        client_column: the column of a table that names whose a document is; empty for none.
        label_column: the column of a table that holds a document's label; empty for the topics of a k-means.
        normalise: write English as the text that `mini-lm` was trained on: one sentence a line, lower case, without
            punctuation, numbers as `N`. Paragraphs end at an empty line. As it is when false.
        valid_share, test_share: of all text, for a part that is not given as files of its own.
        split_by: `document` draws whole documents; `line` cuts the last lines off each document.
        split_seed: decides which documents are drawn.
    """

    path: str = ""
    files: str = ""
    text_column: str = "text"
    client_column: str = ""
    label_column: str = ""
    normalise: bool = False
    valid_share: float = 0.1
    test_share: float = 0.1
    split_by: Literal["document", "line"] = "document"
    split_seed: int = 0

    def __post_init__(self) -> None:
        check_shares(self.valid_share, self.test_share)
        if not self.text_column:
            raise ValueError("text_column is empty. Name the column that holds the text.")


@dataclass(frozen=True)
class ImageSource:
    """The user's own images.

    Args:
        path: a folder with a folder of images for each class, or parquet files with encoded images.
        files: which files of a folder, as a pattern below it (`**/*.png`); empty for all of a kind that is known.
        client_folders: the first folder that an image lies in is its client, the one below its class.
        image_column: the column of a parquet file that holds encoded images, or {bytes, path} of them.
        label_column: the column that holds the images' classes; empty where all are of one.
        client_column: the column that names whose each image is; empty for none.
        valid_share, test_share: of all images, for a part that is not given as files of its own.
        split_seed: decides which images are drawn.
    """

    path: str = ""
    files: str = ""
    client_folders: bool = False
    image_column: str = "image"
    label_column: str = "label"
    client_column: str = ""
    valid_share: float = 0.1
    test_share: float = 0.1
    split_seed: int = 0

    def __post_init__(self) -> None:
        check_shares(self.valid_share, self.test_share)
        if not self.image_column:
            raise ValueError("image_column is empty. Name the column that holds the images.")


def check_shares(valid: float, test: float) -> None:
    """Raises ValueError for shares below 0, and for those that leave nothing to train on."""
    for name, share in (("valid_share", valid), ("test_share", test)):
        if not 0 <= share < 1:
            raise ValueError(f"{name} must be at least 0 and below 1, got {share}.")
    if valid + test >= 1:
        raise ValueError(
            f"valid_share ({valid}) and test_share ({test}) together must be below 1: they leave nothing to train on."
        )


NO_TEXT = TextSource()
NO_IMAGES = ImageSource()
