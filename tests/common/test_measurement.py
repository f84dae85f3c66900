"""Measurements of knees whose sizes are known: drawn by formula, and the phantom's."""

import numpy as np
import pytest

from services.common.finding import Structure
from services.common.measurement import BOUNDARY_MM, Measurement, Normality, Quantity, measure
from services.common.reference_ranges import REFERENCE_RANGES
from services.common.volume import Plane, Volume
from tools.phantom.study import image_study

# sagittal: slices to the left, rows to the feet, columns to the back
SAGITTAL = np.array([[3.0, 0, 0, -30], [0, 0, 0.4, -40], [0, -0.4, 0, 40], [0, 0, 0, 1.0]])
CORONAL = np.array([[0, 0, 0.4, -40.0], [3.0, 0, 0, -30], [0, -0.4, 0, 40], [0, 0, 0, 1.0]])


def by_key(labels: dict[Plane, Volume]) -> dict[str, Measurement]:
    return {each.key: each for each in measure(labels)}


def empty() -> np.ndarray:
    return np.zeros((20, 200, 200), np.uint8)


def slab(thickness_rows: int) -> np.ndarray:
    """A flat tibia with medial cartilage on it, 80 columns wide on ten slices."""
    labels = empty()
    labels[2:18, 100:160, 20:180] = Structure.TIBIA
    labels[5:15, 100 - thickness_rows : 100, 60:140] = Structure.MEDIAL_TIBIAL_CARTILAGE
    return labels


@pytest.mark.parametrize("rows", [3, 5, 8])
def test_a_slab_of_cartilage_has_its_thickness_and_volume(rows):
    """Thickness within the 5 % of a straight edge, volume exact, on the slice with most of it."""
    found = by_key({Plane.SAGITTAL: Volume(slab(rows), SAGITTAL)})
    thickness = found["medial_tibial_cartilage_thickness"]
    assert thickness.value == pytest.approx(rows * 0.4, rel=0.06)
    assert found["medial_tibial_cartilage_volume"].value == pytest.approx(10 * 3 * 80 * 0.4 * rows * 0.4 / 1000)
    assert (thickness.unit, thickness.plane, thickness.slice_index) == ("mm", Plane.SAGITTAL, 5)


def test_the_uncertainty_is_that_of_edges_half_a_model_pixel_further_out():
    """Growing a wide slab by that much on both sides changes it by its uncertainty."""
    found = by_key({Plane.SAGITTAL: Volume(slab(5), SAGITTAL)})
    thickness = found["medial_tibial_cartilage_thickness"]
    assert thickness.uncertainty == pytest.approx(2 * BOUNDARY_MM, rel=0.1)
    volume = found["medial_tibial_cartilage_volume"]
    assert volume.uncertainty / volume.value == pytest.approx(thickness.uncertainty / thickness.value)


def test_a_shell_of_cartilage_has_the_thickness_between_its_surfaces():
    """Two millimetres over a round femur: the volume of the shell over the area of the bone."""
    rows, columns = np.meshgrid(np.arange(200), np.arange(200), indexing="ij")
    radius = np.hypot(rows - 80, columns - 100) * 0.4
    labels = empty()
    labels[2:18, radius < 25] = Structure.FEMUR
    labels[2:18, (radius >= 25) & (radius < 27) & (rows > 90)] = Structure.FEMORAL_CARTILAGE
    found = by_key({Plane.SAGITTAL: Volume(labels, SAGITTAL)})
    assert found["femoral_cartilage_thickness"].value == pytest.approx((27**2 - 25**2) / (2 * 25), rel=0.03)


def test_bare_bone_does_not_make_cartilage_thinner():
    """Only the bone below the cartilage counts."""
    labels = slab(5)
    half = labels.copy()
    half[:, :100, 100:] = 0
    whole, worn = (by_key({Plane.SAGITTAL: Volume(each, SAGITTAL)}) for each in (labels, half))
    name = "medial_tibial_cartilage_thickness"
    assert worn[name].value == pytest.approx(whole[name].value, rel=0.02)


def test_cartilage_away_from_its_bone_has_a_volume_but_no_thickness():
    """A thickness over nothing would be a made-up number."""
    labels = slab(5)
    labels[:, 100:] = 0
    assert list(by_key({Plane.SAGITTAL: Volume(labels, SAGITTAL)})) == ["medial_tibial_cartilage_volume"]


def extruded(columns: int) -> np.ndarray:
    """A tibia with a meniscus on either side, the medial one reaching ``columns`` beyond the edge."""
    labels = empty()
    labels[:, 110:170, 40:160] = Structure.TIBIA
    labels[4:16, 100:110, 20 : 70 + 0] = Structure.BACKGROUND
    labels[4:16, 100:110, 40 - columns : 65] = Structure.MEDIAL_MENISCUS
    labels[4:16, 100:110, 135:158] = Structure.LATERAL_MENISCUS
    return labels


@pytest.mark.parametrize("turned", ["as it is", "feet first", "mirrored", "on its side"])
def test_extrusion_is_measured_outwards_however_the_slices_lie(turned):
    """Four millimetres medially, 0.8 inside the edge laterally."""
    labels, affine = extruded(10), CORONAL.copy()
    if turned == "feet first":
        labels, affine[:3, 1] = labels[:, ::-1], -affine[:3, 1]
    if turned == "mirrored":
        labels, affine[:3, 2] = labels[:, :, ::-1], -affine[:3, 2]
    if turned == "on its side":
        labels, affine = labels.transpose(0, 2, 1), affine[:, [0, 2, 1, 3]]
    found = by_key({Plane.CORONAL: Volume(labels, affine)})
    assert found["medial_meniscus_extrusion"].value == pytest.approx(4.0)
    assert found["lateral_meniscus_extrusion"].value == pytest.approx(-0.8)
    assert 8 <= found["medial_meniscus_extrusion"].slice_index < 12, "in the middle third of the meniscus"


def test_an_ellipsoid_of_fluid_has_the_volume_of_its_formula():
    """4/3 pi abc in ml."""
    z, y, x = np.meshgrid(np.arange(20) * 3.0 - 28, np.arange(200) * 0.4 - 40, np.arange(200) * 0.4 - 40, indexing="ij")
    labels = (((z / 20) ** 2 + (y / 24) ** 2 + (x / 12) ** 2 < 1) * Structure.EFFUSION).astype(np.uint8)
    fluid = by_key({Plane.SAGITTAL: Volume(labels, SAGITTAL)})["effusion_volume"]
    assert fluid.value == pytest.approx(4 / 3 * np.pi * 20 * 24 * 12 / 1000, rel=0.02)
    assert fluid.normality is Normality.ABNORMAL


@pytest.mark.parametrize(
    ("quantity", "structure", "value", "normality"),
    [
        (Quantity.THICKNESS, Structure.FEMORAL_CARTILAGE, 1.9, Normality.NORMAL),
        (Quantity.THICKNESS, Structure.FEMORAL_CARTILAGE, 3.1, Normality.NORMAL),
        (Quantity.THICKNESS, Structure.FEMORAL_CARTILAGE, 1.2, Normality.UNDETERMINED),
        (Quantity.THICKNESS, Structure.FEMORAL_CARTILAGE, 0.8, Normality.ABNORMAL),
        (Quantity.EXTRUSION, Structure.MEDIAL_MENISCUS, -1.0, Normality.NORMAL),
        (Quantity.EXTRUSION, Structure.MEDIAL_MENISCUS, 3.4, Normality.UNDETERMINED),
        (Quantity.EXTRUSION, Structure.MEDIAL_MENISCUS, 3.6, Normality.ABNORMAL),
        (Quantity.EXTRUSION, Structure.LATERAL_MENISCUS, 9.0, None),
    ],
)
def test_a_value_is_abnormal_only_beyond_its_uncertainty_and_on_the_side_of_disease(
    quantity, structure, value, normality
):
    """Lost cartilage, a meniscus pushed out; never cartilage that looks thick, nor anything nobody has measured."""
    assert Measurement(quantity, structure, value, 0.5, Plane.SAGITTAL, 0).normality is normality


def test_planes_that_disagree_make_a_value_less_certain():
    """Half the spread comes in quadrature; the value stays that of the better plane."""
    labels, more = empty(), empty()
    labels[5:15, 50:150, 50:150], more[5:15, 50:150, 50:190] = Structure.EFFUSION, Structure.EFFUSION
    axial = np.array([[0.4, 0, 0, 0], [0, 0.4, 0, 0], [0, 0, 3.0, 0], [0, 0, 0, 1.0]])[:, [2, 1, 0, 3]]
    alone = by_key({Plane.SAGITTAL: Volume(labels, SAGITTAL)})["effusion_volume"]
    both = by_key({Plane.SAGITTAL: Volume(labels, SAGITTAL), Plane.AXIAL: Volume(more, axial)})["effusion_volume"]
    assert both.value == alone.value
    spread = 10 * 3 * 100 * 40 * 0.16 / 1000 / 2
    assert both.uncertainty == pytest.approx(np.hypot(alone.uncertainty, spread))


def test_an_empty_label_map_has_no_measurement():
    """Nothing is measured where nothing is seen, and noise is nothing."""
    labels = empty()
    assert measure({Plane.SAGITTAL: Volume(labels, SAGITTAL), Plane.CORONAL: Volume(labels, CORONAL)}) == ()
    labels[3, 4:6, 4:6] = Structure.PATELLAR_CARTILAGE
    assert measure({Plane.SAGITTAL: Volume(labels, SAGITTAL)}) == ()
    assert measure({}) == ()


def test_every_range_belongs_to_a_measurement_and_names_its_source():
    """No range without a source, and none that nothing is ever compared with."""
    keys = {
        Measurement(quantity, structure, 1.0, 0.0, Plane.SAGITTAL, 0).key
        for quantity in Quantity
        for structure in Structure
    }
    assert set(REFERENCE_RANGES) <= keys
    for each in REFERENCE_RANGES.values():
        assert any(character.isdigit() for character in each.source)
        assert each.low is None or each.low < each.high


@pytest.fixture(scope="module")
def knees() -> dict[str, dict[str, Measurement]]:
    """One phantom knee, healthy and with medial wear and an effusion, measured on its true label maps."""
    found = {}
    for name, findings in (("healthy", []), ("worn", ["Medial OA", "Effusion"])):
        study = image_study(5, findings, matrix=160)
        found[name] = by_key({each.labels_plane: each.labels for each in map(_Series, study.series)})
    return found


class _Series:
    """Labels of one series and the plane they lie in."""

    def __init__(self, series) -> None:
        self.labels, self.labels_plane = series.labels, series.image.plane


def test_the_phantom_measures_what_it_was_drawn_with(knees):
    """Its cartilages are 1.5 to 3 mm thick, its menisci lie on the plateau, its fluid is within the normal."""
    healthy = knees["healthy"]
    for structure in ("femoral_cartilage", "medial_tibial_cartilage", "lateral_tibial_cartilage"):
        assert 1.0 < healthy[f"{structure}_thickness"].value < 3.5, structure
    assert abs(healthy["medial_meniscus_extrusion"].value) < 3.0


def test_wear_and_fluid_show_in_the_measurements(knees):
    """Medial cartilage is lost, the medial meniscus is pushed out, and there is more fluid than in the healthy knee."""
    healthy, worn = knees["healthy"], knees["worn"]
    assert worn["medial_tibial_cartilage_volume"].value < 0.95 * healthy["medial_tibial_cartilage_volume"].value
    assert worn["medial_meniscus_extrusion"].value > healthy["medial_meniscus_extrusion"].value
    before = healthy["effusion_volume"].value if "effusion_volume" in healthy else 0.0
    assert worn["effusion_volume"].value > before + 5
