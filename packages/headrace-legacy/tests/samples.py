"""Files of other writers, which lie beside the project where somebody has collected them."""

from __future__ import annotations

from pathlib import Path

import pytest

SAMPLES = Path(__file__).resolve().parents[4] / "shared/data/legacy"
needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the sample files aren't here")
