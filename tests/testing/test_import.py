"""What a check does not need is not imported: `import elunet.testing` costs next to nothing."""

import subprocess
import sys

import pytest

import elunet as eln


def modules_after(code):
    """Return elunet.testing's modules, and hypothesis, that some code imports in a new process."""
    show = (
        "import sys; print(*[m for m in sys.modules if m[:14] in ('elunet.testing', 'hypothesis')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; {show}"], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.process
def test_import_imports_no_check():
    assert modules_after("import elunet.testing") == {"elunet.testing"}


@pytest.mark.process
def test_a_check_that_passes_needs_no_diagnosis():
    code = (
        "import numpy as np, elunet as eln; "
        "eln.testing.check_layer(eln.layers.Tanh(), np.linspace(-1, 1, 6).reshape(2, 3))"
    )
    found = modules_after(code)
    assert "elunet.testing._layer" in found
    unwanted = ("patterns", "signals", "_optimizer", "contract", "hypothesis", "strategies")
    assert not [name for name in found if name.rpartition(".")[2] in unwanted]


def test_every_public_name_is_there():
    for name in [*eln.testing.__all__, "strategies", "contract"]:
        assert getattr(eln.testing, name) is getattr(eln.testing, name)
        assert name in dir(eln.testing)
    with pytest.raises(AttributeError, match="no attribute 'check_everything'"):
        _ = eln.testing.check_everything
