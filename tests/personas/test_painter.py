"""What a picture shows: the same arguments the same pixels, expressions move what they name, masks hide what they should."""
from __future__ import annotations

import numpy as np
import pytest

from perception.features import EMOTIONS
from perception.personas import EXPRESSIONS, Shot, Units, head, mask, mouth, persona, render, take_shot
from perception.personas.expressions import NAMES, displayed
from perception.personas.eyes import openings
from perception.personas.light import expose
from perception.personas.stage import Stage, set_stage

STILL = Shot(seed=1, yaw=0.0, pitch=0.0, roll=0.0, scale=0.36, dx=0.0, dy=0.0, light_x=0.2, light_y=-0.5, key=0.6, fill=0.45,
             warmth=0.0, gaze_x=0.0, vigour=1.0)


REST = Units()


def stage(units: Units = REST, shot: Shot = STILL, seed: int = 5, size: int = 120) -> Stage:
    return set_stage(persona(seed), units, shot, size)


@pytest.mark.parametrize("mask_kind", [None, *mask.KINDS])
def test_two_renders_of_the_same_arguments_are_equal_to_the_bit(mask_kind: str | None) -> None:
    first, again = (render(persona(11), "fear", 42, 64, mask_kind) for _ in range(2))
    assert first.shape == (64, 64, 3) and first.dtype == np.uint8
    assert np.array_equal(first, again)


def test_another_shot_or_another_person_is_another_picture() -> None:
    base = render(persona(11), "happy", 42, 96).astype(float)
    assert np.abs(base - render(persona(11), "happy", 43, 96)).mean() > 5
    assert np.abs(base - render(persona(12), "happy", 42, 96)).mean() > 5


@pytest.mark.parametrize("seed", range(0, 40, 4))
def test_every_kind_of_person_renders_with_contrast_and_without_clipping_the_face(seed: int) -> None:
    picture = render(persona(seed), "neutral", seed, 96)
    face = picture[34:66, 32:64].mean(-1)
    assert 75 < np.median(face) < 225
    assert face.std() > 10
    assert (picture == 255).all(-1).mean() < 0.02


def test_the_painter_knows_the_seven_emotions_of_the_features_table_in_their_order() -> None:
    assert tuple(EXPRESSIONS) == EMOTIONS


def test_expressions_stay_within_ordinary_displays() -> None:
    for units in EXPRESSIONS.values():
        values = np.array([getattr(units, name) for name in NAMES])
        assert values.min() >= 0 and values.max() <= 1.2


def test_vigour_scales_a_display_within_12_percent_plus_restlessness() -> None:
    shown = displayed(Units(au5=1.0, au26=0.5), 0.8, np.random.default_rng(3))
    assert 0.8 * 0.88 <= shown.au5 <= 0.8 * 1.12
    assert 0.4 * 0.88 <= shown.au26 <= 0.4 * 1.12
    assert 0 <= shown.au12 < 0.15


def test_a_smile_lifts_the_mouth_corners_by_a_tenth_of_a_head_unit_and_widens_the_mouth() -> None:
    rest, smile = mouth.shape_mouth(stage()), mouth.shape_mouth(stage(Units(au12=1.0)))
    assert rest.corner - smile.corner == pytest.approx(0.115)
    assert smile.half_width / rest.half_width == pytest.approx(1.24)


def test_a_dropped_jaw_lowers_the_chin_by_about_its_drop() -> None:
    def chin(units: Units) -> float:
        s = stage(units)
        inside = head.outline(s)[0] > 0
        return float(s.Y[inside].max())

    assert chin(Units(au26=1.0)) - chin(Units()) == pytest.approx(0.15, abs=0.04)


def test_raised_lids_open_the_eyes_and_tight_lids_narrow_them() -> None:
    rest, wide, tight = (sum(openings(stage(u))) for u in (Units(), Units(au5=1.0), Units(au7=1.0)))
    assert wide > 1.25 * rest
    assert tight < 0.75 * rest


def test_turning_the_head_moves_the_nose_and_leaves_the_silhouette() -> None:
    turned = Shot(**{**STILL.__dict__, "yaw": 0.2})
    front, side = stage(), stage(shot=turned)
    middle = 60
    row = np.argmin(np.abs(front.y[:, middle] - front.nose_y))
    nose_shift = float(front.X[row, middle] - side.X[row, middle])
    edge = np.argmin(np.abs(front.x[row] - front.traits.face_width))
    assert nose_shift > 0.1
    assert abs(float(front.X[row, edge] - side.X[row, edge])) < 0.05


@pytest.mark.parametrize("kind", mask.KINDS)
@pytest.mark.parametrize("seed", [3, 14, 27])
def test_a_mask_hides_nose_tip_and_mouth_and_leaves_the_eyes_free(kind: str, seed: int) -> None:
    s = stage(seed=seed)
    distance, width = head.outline(s)
    cover = mask.put_on(s, kind, distance, width).cover

    def at(x: float, y: float) -> float:
        return float(cover[np.argmin(np.abs(s.Y[:, 60] - y)), np.argmin(np.abs(s.X[60] - x))])

    assert at(0, s.nose_y) > 0.9 and at(0, s.mouth_y) > 0.9
    assert at(s.traits.eye_x, s.traits.eye_y) < 0.01 and at(-s.traits.eye_x, s.traits.eye_y) < 0.01


def test_the_shoulder_of_the_exposure_is_monotone_continuous_and_never_clips() -> None:
    values = np.linspace(0, 1000, 4001)
    out = expose(values, 1.3)
    assert (np.diff(out) >= 0).all() and np.diff(out).max() < 0.4 and out.max() <= 255


def test_shots_face_the_camera_within_15_degrees() -> None:
    shots = [take_shot(seed) for seed in range(500)]
    assert max(abs(s.yaw) for s in shots) <= np.radians(15)
    assert take_shot(5, yaw=0.1, vigour=0.4).yaw == 0.1
    assert take_shot(5) == take_shot(5) != take_shot(6)


@pytest.mark.parametrize("arguments, words", [
    ({"emotion": "bored"}, "bored.*angry"), ({"size": 20}, "48 pixels at least, got 20"), ({"mask_kind": "silk"}, "silk.*surgical")])
def test_bad_arguments_are_refused_in_one_sentence(arguments: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        render(persona(0), **arguments)
