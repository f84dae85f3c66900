"""Contrast from a sequence's own numbers."""

import pytest

from services.common.frame import frames_of
from services.common.volume import Plane
from services.preprocessing.physics import physics_of
from services.preprocessing.rules import load_rules
from tests.studies import enhanced, series


def physics(**attributes):
    options = {"ScanOptions": None, **attributes}
    (frame,) = frames_of(series(Plane.SAGITTAL, slices=1, **options)[0])
    return physics_of(frame, load_rules("knee"))


SPIN, INVERSION, GRADIENT = {"ScanningSequence": "SE"}, {"ScanningSequence": ["SE", "IR"]}, {"ScanningSequence": "GR"}


@pytest.mark.parametrize(
    ("attributes", "weighting"),
    [
        ({**SPIN, "RepetitionTime": 600, "EchoTime": 12}, "T1"),
        ({**SPIN, "RepetitionTime": 2450, "EchoTime": 12}, "PD"),
        ({**SPIN, "RepetitionTime": 3500, "EchoTime": 35}, "PD"),
        ({**SPIN, "RepetitionTime": 3223, "EchoTime": 100}, "T2"),
        ({**INVERSION, "RepetitionTime": 4000, "EchoTime": 30, "InversionTime": 160}, "STIR"),
        ({**INVERSION, "RepetitionTime": 1900, "EchoTime": 25, "InversionTime": 75}, "STIR"),
        (
            {"ScanningSequence": ["GR", "IR"], "RepetitionTime": 1000, "EchoTime": 16, "InversionTime": 75},
            "STIR",
        ),
        ({**GRADIENT, "RepetitionTime": 8.9, "EchoTime": 3.2, "InversionTime": 300}, "T1"),
        ({**INVERSION, "RepetitionTime": 6000, "EchoTime": 394, "InversionTime": 2200}, "FLAIR"),
        ({**SPIN, "RepetitionTime": 3500, "EchoTime": 35, "InversionTime": 160}, "PD"),
        ({**GRADIENT, "RepetitionTime": 8.9, "EchoTime": 3.2, "InversionTime": 900}, "T1"),
        ({**GRADIENT, "RepetitionTime": 16.3, "EchoTime": 4.7, "SequenceVariant": ["SS", "SK"]}, "T2*"),
        ({**GRADIENT, "RepetitionTime": 20, "EchoTime": 7.6, "SequenceVariant": ["SS", "SP"]}, "T1"),
        ({**GRADIENT, "RepetitionTime": 500, "EchoTime": 14}, "T2*"),
        ({"RepetitionTime": None, "EchoTime": None}, "unknown"),
        ({"RepetitionTime": None, "EchoTime": None, "SeriesDescription": "sag PD TSE"}, "PD"),
        ({"RepetitionTime": None, "EchoTime": None, "ProtocolName": "COR STIR"}, "STIR"),
        ({"RepetitionTime": None, "EchoTime": None, "SeriesDescription": "ax T2* gre"}, "unknown"),
    ],
)
def test_weighting_follows_from_times_and_only_then_from_words(attributes, weighting):
    """Repetition, echo and inversion time decide; a description helps where they are missing."""
    assert physics(**attributes).weighting == weighting


@pytest.mark.parametrize(
    ("attributes", "suppressed"),
    [
        ({"ScanOptions": "FS"}, True),
        ({"ScanOptions": ["PFP", "FS"]}, True),
        ({"ScanOptions": "Fat Sat"}, True),
        ({"ScanOptions": ["PASTA", "NONE"]}, True),
        ({"ScanOptions": ["FAST_GEMS", "ACC_GEMS"]}, False),
        ({"ImageType": ["DERIVED", "PRIMARY", "WATER"]}, True),
        ({"SequenceName": "*tse2d1_7"}, False),
        ({"SequenceName": "tirm2d1_9"}, True),
        ({"SeriesDescription": "PD_TSE_FS_SAG"}, True),
        ({"SeriesDescription": "PD FATSAT"}, True),
        ({"SeriesDescription": "pdfs"}, True),
        ({"SeriesDescription": "FSE SAG PD"}, False),
        ({"SpectrallySelectedSuppression": "FAT"}, True),
        ({"SpectrallySelectedSuppression": "NONE", "SeriesDescription": "PD FS"}, False),
    ],
)
def test_fat_suppression_is_read_from_options_types_and_names(attributes, suppressed):
    """Every vendor says it elsewhere."""
    assert physics(**attributes).fat_suppressed is suppressed


def test_short_inversion_suppresses_fat():
    """STIR needs no option to say so."""
    short = physics(**INVERSION, RepetitionTime=4000, EchoTime=30, InversionTime=160)
    assert (short.fat_suppressed, short.fluid_sensitive) == (True, True)


@pytest.mark.parametrize(
    ("attributes", "fluid"),
    [
        ({"EchoTime": 80}, True),
        ({"EchoTime": 35, "ScanOptions": "FS"}, True),
        ({"EchoTime": 35}, False),
        ({"RepetitionTime": 600, "EchoTime": 12, "ScanOptions": "FS"}, False),
    ],
)
def test_fluid_is_brightest_in_t2_and_where_proton_density_loses_its_fat(attributes, fluid):
    """That is what the models were shown most."""
    assert physics(**attributes).fluid_sensitive is fluid


def test_an_enhanced_object_has_the_physics_of_its_classic_series():
    """Functional groups name the same things otherwise."""
    classic = series(Plane.SAGITTAL)
    rules = load_rules("knee")
    assert physics_of(frames_of(enhanced(classic))[0], rules) == physics_of(frames_of(classic[0])[0], rules)
