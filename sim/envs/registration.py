"""Registers `ProductPush-v0` with Gymnasium."""

from __future__ import annotations

ID = "ProductPush-v0"


def register() -> None:
    """Idempotent; called by Gymnasium's plugin loader and by `import sim`."""
    from gymnasium.envs import registration

    if ID not in registration.registry:
        registration.register(
            id=ID,
            entry_point="sim.envs.single:ProductPushEnv",
            vector_entry_point="sim.envs.vector:ProductPushVectorEnv",
        )
