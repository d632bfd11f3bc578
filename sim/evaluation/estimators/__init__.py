"""Off-policy evaluation: what would another policy have earned on these customers, from the log of the one that acted.

    data         the log: actions, rewards, propensities, and the target policy's probabilities at every opportunity
    contextual   every opportunity by itself: IPS, SNIPS, DM, DR, SNDR, SWITCH-DR
    sequential   whole lives: FQE, per-decision IS, its self-normalised form, sequential DR, weighted DR
    marginalised whole lives by the ratio of visits instead of products of ratios: MIS, marginalised DR
    models       what rewards are predicted with, cross-fitted by customer
    intervals    Student, bootstrap over customers, empirical Bernstein
    overlap      how much of the log speaks about the target policy, with warnings in words
    estimate     all of them at once

One-step estimators are right where actions leave later opportunities unchanged (`env=bandit`); in the shop they answer
another question, the value of the target's choices on the *logged* customers' states, and only the sequential ones follow
the target's own course of life.
"""
