import os
from pathlib import Path

# before SciPy is imported: without it scikit-learn skips some of its estimator checks
os.environ.setdefault("SCIPY_ARRAY_API", "1")

import pytest
import torch
from hypothesis import HealthCheck, settings

torch.set_num_threads(1)

settings.register_profile(
    "default",
    deadline=None,
    max_examples=30,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("default")


@pytest.fixture
def data_home() -> Path:
    """Folder of real data that is not part of the package."""
    folder = os.environ.get("MMCONTRAST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("set MMCONTRAST_DATA to the folder of real data sets to run this test")
    return Path(folder)
