"""REINFORCE: a policy learns to walk to the right end of a corridor.

R. J. Williams: Simple statistical gradient-following algorithms, Machine Learning 8, 1992. The loss
is the caller's own, of the logits z: minus the mean of G log pi(action), G the return. Its
derivative with respect to z is G (pi - one_hot(action)) / s.
"""

import numpy as np

import fcnn

LENGTH, MOST_STEPS = 9, 40


def play(policy, rng):
    """Return states, actions and returns of an episode that begins in the middle."""
    place, states, actions = LENGTH // 2, [], []
    while 0 < place < LENGTH - 1 and len(states) < MOST_STEPS:
        state = np.eye(LENGTH, dtype=np.float32)[place]
        action = int(rng.random() < policy.predict(state)[1])  # 0 is left, 1 right
        states.append(state)
        actions.append(action)
        place += 2 * action - 1
    won = place == LENGTH - 1
    return states, actions, [float(won) - 0.01 * len(states)] * len(states)


def policy_loss(z, played):
    """Return the loss of the logits z, and its derivative."""
    actions, returns = played
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    rows, advantage = np.arange(len(z)), (returns - returns.mean()).astype(z.dtype)
    value = -(advantage * np.log(p[rows, actions])).mean()
    p[rows, actions] -= 1
    return value, p * (advantage / len(z))[:, np.newaxis]


def main(updates=60, episodes=20, seed=0):
    """Train; return the mean return of the last episodes."""
    rng = np.random.default_rng(seed)
    policy = fcnn.Network((LENGTH, 16, 2), activation="tanh", rng=seed)
    optimizer = fcnn.Adam(lr=0.02)
    for update in range(updates):
        played = [play(policy, rng) for _ in range(episodes)]
        states, actions, returns = (np.concatenate(part) for part in zip(*played, strict=True))
        policy.train_step(
            states, (actions.astype(int), returns), optimizer, loss=policy_loss, of="z"
        )
        if update % 20 == 0 or update == updates - 1:
            mean = np.mean([episode[2][0] for episode in played])
            print(f"update {update:3}: mean return {mean:.2f}")
    return mean


if __name__ == "__main__":
    main()
