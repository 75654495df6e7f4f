"""What the documentation of the modules has to say alike."""

from __future__ import annotations

import yaml
from ansible_collections.gpupass.kvm.plugins.modules import gpupass_attachment, gpupass_profile


def test_what_changes_returns_the_same():
    assert yaml.safe_load(gpupass_profile.RETURN) == yaml.safe_load(gpupass_attachment.RETURN)
