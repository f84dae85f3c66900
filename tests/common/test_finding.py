"""Findings: what is positive, and MRNet's three labels out of the twelve."""

import pytest

from services.common.finding import LABELS, Finding, Location, mrnet_probabilities
from services.common.volume import Plane

PLACE = Location(Plane.SAGITTAL, 3, "1.2.3")


@pytest.mark.parametrize(("probability", "positive"), [(0.49, False), (0.5, True), (0.51, True)])
def test_a_finding_is_positive_from_its_threshold_on(probability, positive):
    """The threshold itself counts as positive."""
    assert Finding("ACL", probability, 0.5, PLACE).positive is positive


def test_the_most_probable_member_decides_each_of_mrnets_labels():
    """Abnormal is any finding, meniscus either side, ACL itself."""
    probability = dict.fromkeys(LABELS, 0.1) | {"Lateral Meniscus": 0.7, "ACL": 0.3, "Effusion": 0.9}
    assert mrnet_probabilities(probability) == {"abnormal": 0.9, "acl": 0.3, "meniscus": 0.7}
