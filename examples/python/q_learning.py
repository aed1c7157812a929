"""Q-learning with a network, as in DQN: swing a pendulum up by pushes to either side.

V. Mnih et al.: Human-level control through deep reinforcement learning, Nature 518, 2015. Only the
output of the action taken has an error: the loss is the caller's own, Huber's of Q(s, a) - (r +
gamma max Q'(s', .)), with Q' a copy of the network that follows in steps.
"""

import numpy as np

import fcnn

GAMMA, PUSHES, STARTS = 0.97, np.array([-2.0, 2.0]), ([-np.pi, -1], [np.pi, 1], (32, 2))


def step(state, push):
    """Return the next state, (angle from the top, its speed), and its reward, of many pendulums."""
    angle, speed = state[:, 0], state[:, 1]
    speed = np.clip(speed + 0.05 * (15 * np.sin(angle) + 4 * push), -8, 8)
    angle = (angle + 0.05 * speed + np.pi) % (2 * np.pi) - np.pi
    return np.stack([angle, speed], axis=1), np.cos(angle) - 0.02 * speed**2


def features(state):
    """Return what the network sees of states."""
    cosine, sine, speed = np.cos(state[:, 0]), np.sin(state[:, 0]), state[:, 1] / 8
    return np.stack([cosine, sine, speed, speed**2], axis=1).astype(np.float32)


def q_loss(a, taken):
    """Return Huber's loss of the outputs for the actions taken, and its derivative."""
    (actions, targets), rows, dC_da = taken, np.arange(len(a)), np.zeros_like(a)
    error = a[rows, actions] - targets
    dC_da[rows, actions] = np.clip(error, -1, 1) / len(a)
    huber = np.where(np.abs(error) > 1, np.abs(error) - 0.5, 0.5 * error**2)
    return float(huber.mean()), dC_da


def main(steps=5000, seed=0):
    """Train; return the mean reward at the end."""
    rng = np.random.default_rng(seed)
    q = fcnn.Network((4, 64, 64, 2), loss="squared_error", rng=seed)
    target, optimizer = q.copy(), fcnn.Adam(lr=0.001)
    state = rng.uniform(*STARTS)  # of 32 pendulums at a time
    for i in range(steps):
        x = features(state)
        actions = q.predict(x).argmax(axis=1)
        actions = np.where(rng.random(32) < 0.1, rng.integers(0, 2, 32), actions)
        after, reward = step(state, PUSHES[actions])
        targets = reward + GAMMA * target.predict(features(after)).max(axis=1)
        loss = q.train_step(x, (actions, targets.astype(np.float32)), optimizer, loss=q_loss)
        if i % 100 == 0:
            target.parameters = q.parameters
        state = np.where(rng.random((32, 1)) < 0.01, rng.uniform(*STARTS), after)
        if i % 1000 == 999:
            print(f"step {i + 1}: loss {loss:.3f}, mean reward {reward.mean():.2f}")
    return reward.mean()


if __name__ == "__main__":
    main()
