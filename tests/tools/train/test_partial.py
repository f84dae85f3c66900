"""What is known of a voxel or a finding that a data set labels only in part."""

import numpy as np

from services.common.finding import LABELS, Structure
from tools.train.partial import GROUPS, MENISCUS, POSSIBLE, TIBIAL_CARTILAGE, UNKNOWN, located, unlabelled


def possible(value):
    return {Structure(index) for index in np.flatnonzero(POSSIBLE[value])}


def test_a_labelled_voxel_is_what_its_label_says():
    """One structure, and no other, for each of the fourteen values."""
    for structure in Structure:
        assert possible(structure) == {structure}


def test_without_any_drawing_a_voxel_may_be_anything():
    """Nothing drawn excludes nothing."""
    assert unlabelled([]) == UNKNOWN
    assert possible(UNKNOWN) == set(Structure)


def test_beside_a_drawing_a_voxel_is_none_of_what_is_drawn():
    """Cartilages and menisci drawn: what they leave free may be bone, ligament, fluid or background."""
    drawn = {
        Structure.PATELLAR_CARTILAGE,
        Structure.FEMORAL_CARTILAGE,
        Structure.MEDIAL_TIBIAL_CARTILAGE,
        Structure.LATERAL_TIBIAL_CARTILAGE,
        Structure.MEDIAL_MENISCUS,
        Structure.LATERAL_MENISCUS,
    }
    assert possible(unlabelled(drawn)) == set(Structure) - drawn


def test_a_group_that_is_drawn_in_part_excludes_nothing():
    """A femur without its tibia leaves open whether the rest holds one."""
    assert unlabelled({Structure.FEMUR}) == UNKNOWN


def test_where_everything_is_drawn_the_rest_is_background():
    """A complete drawing is an ordinary label map."""
    everything = {structure for structure in Structure if structure}
    assert unlabelled(everything) == Structure.BACKGROUND
    assert set().union(*GROUPS) == everything


def test_every_choice_of_groups_has_a_value_of_its_own():
    """127 incomplete drawings, none of which looks like a label or a pair."""
    choices = [
        unlabelled(s for i, group in enumerate(GROUPS) if bits >> i & 1 for s in group)
        for bits in range(2 ** len(GROUPS))
    ]
    assert len(set(choices)) == len(choices)
    assert not set(choices[:-1]) & {*map(int, Structure), TIBIAL_CARTILAGE, MENISCUS}


def test_a_pair_without_a_side_is_one_of_two():
    """Data sets that do not part medial from lateral."""
    assert possible(TIBIAL_CARTILAGE) == {Structure.MEDIAL_TIBIAL_CARTILAGE, Structure.LATERAL_TIBIAL_CARTILAGE}
    assert possible(MENISCUS) == {Structure.MEDIAL_MENISCUS, Structure.LATERAL_MENISCUS}


def test_a_finding_is_located_where_it_is_absent_or_drawn():
    """Present without a cell, or unknown, it teaches no cell."""
    findings = np.full(len(LABELS), UNKNOWN, np.uint8)
    findings[:3] = 0, 1, 1
    lesions = np.zeros((3, 32, len(LABELS), 32, 32), np.uint8)
    lesions[1, 4, 1, 10, 10] = 60
    assert located(findings, lesions)[:4].tolist() == [True, True, False, False]
