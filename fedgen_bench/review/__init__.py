"""From a published folder to verdicts: claims, validation, reproduction."""
