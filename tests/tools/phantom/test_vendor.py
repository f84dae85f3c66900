"""The tags of four makers: each is written as its scanners do, and the intake reads the same knee from all of them."""

import numpy as np
import pytest

from services.common.dicom import read_instance
from services.common.finding import Laterality
from services.common.volume import Plane
from services.preprocessing.judgement import judge
from services.preprocessing.stacking import assemble, transform
from tools.phantom.study import Plan, image_study, write_instances
from tools.phantom.vendor import VENDORS

SERIES = ((Plane.SAGITTAL, "PD-FS"), (Plane.SAGITTAL, "PD"), (Plane.SAGITTAL, "DESS-1"))


@pytest.fixture(scope="module")
def study():
    return image_study(7, ["Effusion"], plan=Plan(SERIES, 48))


def written(folder, study, vendor):
    write_instances(folder, study, vendor=vendor)
    return [read_instance(path) for path in sorted(folder.rglob("*.dcm"))]


@pytest.fixture(scope="module")
def plain(study, tmp_path_factory):
    return judge(written(tmp_path_factory.mktemp("plain"), study, None))


@pytest.mark.parametrize("vendor", VENDORS)
def test_the_intake_reads_the_same_knee_from_every_maker(study, plain, tmp_path, vendor):
    """Contrast and fat suppression of every series, the chosen one, and its volume to a grey level of rounding."""
    selection, side = judge(written(tmp_path, study, vendor))
    physics = [(each.physics.weighting, each.physics.fat_suppressed) for each in selection.candidates]
    assert sorted(physics) == sorted((one.physics.weighting, one.physics.fat_suppressed) for one in plain[0].candidates)
    chosen, expected = (each.chosen[Plane.SAGITTAL].frames for each in (selection, plain[0]))
    assert chosen[0].series_instance_uid == expected[0].series_instance_uid
    volumes = [transform(assemble(frames), mirrored=False).volume.astype(int) for frames in (chosen, expected)]
    assert np.abs(volumes[0] - volumes[1]).max() <= 1
    assert side.laterality in {plain[1].laterality, Laterality.UNKNOWN}


def test_only_one_of_them_names_the_side(study, tmp_path):
    """As in real archives, where the tag depends on the maker."""
    named = {vendor for vendor in VENDORS if "Laterality" in written(tmp_path / vendor, study, vendor)[0]}
    assert named == {"siemens"}


@pytest.mark.parametrize("vendor", VENDORS)
def test_the_makers_name_says_that_it_is_synthetic(study, tmp_path, vendor):
    """Nobody shall take it for a scanner's."""
    assert "synthetic" in str(written(tmp_path, study, vendor)[0].Manufacturer)
