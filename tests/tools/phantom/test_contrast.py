"""The contrast of tissues is the one that was measured on real knees at 3 T."""

import numpy as np
import pytest

from tools.phantom.protocol import DESS_1, DESS_2, PD_FS, T1, T2_FS
from tools.phantom.tissues import Sequence, Tissue, fat_share, signals


def ratio(sequence, tissue, other):
    signal = signals(sequence)
    return float(signal[tissue] / signal[other])


@pytest.mark.parametrize(
    ("echo_ms", "measured"), [(6.3, 0.40), (12.6, 0.33), (25.2, 0.25), (31.6, 0.21), (44.2, 0.15), (50.5, 0.14)]
)
def test_muscle_against_marrow_follows_a_real_multi_echo_series(echo_ms, measured):
    """TR 2450: medians of a GE knee at six echo times, within a tenth."""
    assert ratio(Sequence(2450, echo_ms, 3.0), Tissue.MUSCLE, Tissue.MARROW) == pytest.approx(measured, rel=0.1)


def test_cartilage_and_meniscus_against_marrow_are_as_measured():
    """At TE 6.3 cartilage has 0.45-0.50 and meniscus 0.18-0.24 of the marrow's signal."""
    sequence = Sequence(2450, 6.3, 3.0)
    assert 0.45 <= ratio(sequence, Tissue.CARTILAGE, Tissue.MARROW) <= 0.50
    assert 0.18 <= ratio(sequence, Tissue.MENISCUS, Tissue.MARROW) <= 0.24


def test_muscle_against_fat_is_as_measured_in_t1_and_t2():
    """Philips T1 TSE 0.26, T2 TSE 0.09-0.12; the table of relaxation times is a fifth below both."""
    assert ratio(Sequence(581, 20, 3.0), Tissue.MUSCLE, Tissue.FAT) == pytest.approx(0.26, rel=0.2)
    assert ratio(Sequence(3223, 100, 3.0), Tissue.MUSCLE, Tissue.FAT) == pytest.approx(0.09, rel=0.25)


def test_only_fluid_is_bright_in_the_second_echo_of_dess():
    """The first echo shows cartilage against bone, the second little but water."""
    first, second = signals(DESS_1), signals(DESS_2)
    assert first[Tissue.CARTILAGE] > 2.5 * first[Tissue.MARROW]
    assert second[Tissue.FLUID] > 5 * second[Tissue.CARTILAGE]
    assert second[Tissue.CARTILAGE] < first[Tissue.CARTILAGE] / 2
    assert (first >= 0).all()
    assert (second >= 0).all()


def test_fluid_and_oedema_stand_out_where_fat_is_suppressed():
    """Each fluid-sensitive sequence shows them brighter than marrow; T1 shows them darker."""
    for sequence in (PD_FS, T2_FS):
        assert ratio(sequence, Tissue.FLUID, Tissue.CARTILAGE) > 1.5
        assert ratio(sequence, Tissue.OEDEMA, Tissue.MARROW) > 3
        assert ratio(sequence, Tissue.CORTEX, Tissue.MARROW) < 0.2
    assert ratio(T1, Tissue.OEDEMA, Tissue.MARROW) < 0.7


def test_fat_and_marrow_are_what_chemical_shift_moves():
    """Muscle and fluid stay where they are."""
    share = fat_share()
    assert share[Tissue.FAT] == share[Tissue.MARROW] == 1
    assert not share[[Tissue.MUSCLE, Tissue.FLUID, Tissue.CARTILAGE]].any()
    assert np.all((share >= 0) & (share <= 1))
