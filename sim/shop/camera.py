"""The camera: core affect -> expression -> a real picture of the person -> what the perception module made of it.

    P(expression j | v, a) ~ exp(-|x - c_j|^2 / 2 h^2)

with class centres c_j on Russell's circumplex (Russell 1980; the angles are ours, and anger and fear overlap in two
dimensions).  A visit has one picture: of this person, with this expression, masked or not by habit, drawn from the cell
(person, masked, expression) of the gallery.  The agent sees the *perceived* features of that picture, mistakes included.

Each channel (emotion, identity, mask) is switched by itself, at the same observation shape:

    perceived  the perception module's output           oracle  the truth (identity: also of customers who never enrolled)
    blind      nothing: uniform emotion, unknown person  noisy   perceived, but blind with probability `camera_noise`
                                                                 (a garbling in Blackwell's sense)
"""

from __future__ import annotations

import numpy as np

from perception.features import AFFECT_CENTRES
from sim.shop.compiled import compiled, inlined, woven
from sim.shop.elementary import exp
from sim.shop.parameters import CHANNELS
from sim.shop.random_streams import CHANNEL, uniforms
from sim.shop.types import OTHER, SELF, UNKNOWN

PERCEIVED, ORACLE, BLIND, NOISY = CHANNELS.values()

CENTRES = AFFECT_CENTRES  # (7, 2) valence, arousal
_CENTRES = tuple((float(v), float(a)) for v, a in CENTRES)  # numbers in the code, not in memory
NEUTRAL = 6
NEGATIVE = (0, 1, 2, 4)  # angry, disgust, fear, sad: negative affect
FEATURES = 11  # emotion (7), mask, face, known, similarity


@inlined
def expression_weight(p, valence, arousal, j):
    """exp(-|x - c_j|^2 / 2 h^2), not normalised."""
    dv, da = valence - _CENTRES[j][0], arousal - _CENTRES[j][1]
    return exp((-0.5 / (p.expression_width * p.expression_width)) * (dv * dv + da * da))


@inlined
def draw_expression(p, valence, arousal, u):
    """Class (0..6) drawn from the expression probabilities of core affect (valence, arousal)."""
    w0, w1 = expression_weight(p, valence, arousal, 0), expression_weight(p, valence, arousal, 1)
    w2, w3 = expression_weight(p, valence, arousal, 2), expression_weight(p, valence, arousal, 3)
    w4, w5 = expression_weight(p, valence, arousal, 4), expression_weight(p, valence, arousal, 5)
    below1, below2, below3 = w0 + w1, w0 + w1 + w2, w0 + w1 + w2 + w3
    below4, below5 = below3 + w4, below3 + w4 + w5
    threshold = u * (below5 + expression_weight(p, valence, arousal, 6))
    return (
        int(threshold >= w0) + int(threshold >= below1) + int(threshold >= below2)
        + int(threshold >= below3) + int(threshold >= below4) + int(threshold >= below5)
    )  # fmt: skip


@compiled
def expression_probabilities(params, valence, arousal):
    """(7,) P(expression | core affect), as `draw_expression` draws them; for tests and plots."""
    p = params[0]
    out = np.empty(7)
    for j in range(7):
        out[j] = expression_weight(p, valence, arousal, j)
    return out / out.sum()


@woven
def take_picture(world, lives, i, expression, u_mask, u_image, u_hour):
    """Choose the picture of this visit, with this expression, by uniforms of the stream CAMERA, in place."""
    customer = lives.customers[i]
    person = customer.person
    masked = 1 if (u_mask < customer.mask_habit and world.masked_images[person]) else 0
    cell = world.cells[person, masked, expression]
    chosen = cell.start
    for c in range(cell.start, cell.start + cell.size - 1):
        chosen += u_image >= world.shown[c].cumulative
    customer.image, customer.masked = world.shown[chosen].image, masked
    customer.hour = 24.0 * u_hour


@inlined
def shown(channel, noise, u):
    """Resolve a channel to PERCEIVED, ORACLE or BLIND for this visit."""
    if channel == NOISY:
        return BLIND if u < noise else PERCEIVED
    return int(channel)


@woven
def perceive(world, lives, i, seed, split):
    """Write the camera's features (11,) of this visit's picture, and whom it takes the customer for, in place."""
    p, customer, out = world.params[0], lives.customers[i], lives.picture[i]
    picture = world.pictures[customer.image]
    face = picture.has_face
    u_emotion = u_identity = u_mask = 0.0
    if p.emotion_channel == NOISY or p.identity_channel == NOISY or p.mask_channel == NOISY:
        u_emotion, u_identity, u_mask, _ = uniforms(seed, split, customer.id, customer.visit, CHANNEL)
    emotion = shown(p.emotion_channel, p.camera_noise, u_emotion)
    identity = shown(p.identity_channel, p.camera_noise, u_identity)
    mask = shown(p.mask_channel, p.camera_noise, u_mask)

    seen_valence = 0.0
    if emotion == PERCEIVED and face:
        for j in range(7):
            out[j] = picture.emotion[j]
        seen_valence = picture.valence
    else:
        for j in range(7):
            out[j] = 0.0 if emotion == ORACLE else 1.0 / 7.0
        if emotion == ORACLE:
            out[picture.true_emotion] = 1.0
            seen_valence = CENTRES[picture.true_emotion, 0]
    customer.seen_valence = seen_valence
    out[8] = 0.0 if emotion == BLIND else (1.0 if emotion == ORACLE else face)

    out[7] = 0.0
    if mask == ORACLE:
        out[7] = customer.masked
    elif mask == PERCEIVED and face:
        out[7] = picture.mask_probability

    customer.recognised, out[9], out[10] = UNKNOWN, 0.0, 0.0
    if identity == ORACLE:
        customer.recognised, out[9], out[10] = SELF, 1.0, 1.0
    elif identity == PERCEIVED and face:
        customer.recognised = picture.recognised[customer.enrolled]
        if customer.recognised != UNKNOWN:
            out[9], out[10] = 1.0, picture.similarity[customer.enrolled]
        if customer.recognised == OTHER:
            u_stranger = uniforms(seed, split, customer.id, customer.visit, CHANNEL)[3]
            strangers = len(world.typical) - 1
            customer.typical = min(int(u_stranger * strangers), strangers - 1)
