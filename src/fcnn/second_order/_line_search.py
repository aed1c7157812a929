"""A step length that meets the strong Wolfe conditions."""

import math
from collections.abc import Callable
from typing import NamedTuple

# Of the conditions: f falls by at least this share of what its slope promises, and the slope's size
# falls to this share of the first. The second is what quasi-Newton methods want (J. Nocedal, S. J.
# Wright: Numerical optimization, 2006, section 3.1).
DECREASE, CURVATURE = 1e-4, 0.9
MOST_STEP, MOST_TRIALS = 1e20, 40


class Point(NamedTuple):
    """phi(t) = f(x + t d) and its derivative at a step length t."""

    t: float
    f: float
    slope: float

    def lowered(self, by: float) -> "Point":
        """Return the point of phi(t) - by t."""
        return Point(self.t, self.f - by * self.t, self.slope - by)


def search(phi: Callable[[float], tuple[float, float]], start: Point, t: float) -> Point | None:
    """Return a point that meets the strong Wolfe conditions, or the best of a search that fails.

    J. J. More, D. J. Thuente: Line search algorithms with guaranteed sufficient decrease, ACM
    TOMS 20, 1994, sections 2 to 4.

    Parameters
    ----------
    phi : callable
        Returns f(x + t d) and its derivative by t, which need not be finite.
    start : Point
        At t = 0, with a negative slope.
    t : float
        The first length to try.

    Returns
    -------
    Point or None
        None if no length lowers f.
    """
    promised = DECREASE * start.slope
    best, other = start, start  # the ends of the interval: the one with the least f, and the other
    bracketed, modified = False, True
    limit = MOST_STEP
    width = before = 2 * MOST_STEP
    for _ in range(MOST_TRIALS):
        now = Point(t, *phi(t))
        if not (math.isfinite(now.f) and math.isfinite(now.slope)):
            limit, t = t, best.t + (t - best.t) / 10
            continue
        fallen = now.f <= start.f + promised * now.t
        if fallen and abs(now.slope) <= -CURVATURE * start.slope:
            return now
        # Until a point has fallen enough and rises again, the interval follows phi less what was
        # promised (section 3), where that would choose another point than phi.
        modified = modified and not (fallen and now.slope >= 0)
        by = promised if modified and now.f <= best.f and not fallen else 0.0
        low, high, new = (point.lowered(by) for point in (best, other, now))
        trial, brackets = _trial(low, high, new, bracketed)
        bracketed = bracketed or brackets
        reached = now.t - best.t
        if new.f > low.f:
            other = now
        else:
            if new.slope * low.slope < 0:
                other = best
            best = now
        if bracketed:
            least, most = sorted((best.t, other.t))
            if most - least >= 0.66 * before:  # of two turns ago: too slow
                trial = best.t + (other.t - best.t) / 2
            before, width = width, most - least
            if width <= 1e-15 * most:
                break
        else:
            least, most = now.t + 1.1 * reached, min(now.t + 4 * reached, limit)
        t = min(max(trial, least), most)
        if t in (least, most) and bracketed:
            t = best.t + (other.t - best.t) / 2
        if not bracketed and t >= limit:
            t = best.t + (limit - best.t) / 2
    # At the limit of the arithmetic slopes are noise: what has fallen at all is good enough.
    return best if best.f < start.f else None


def _trial(low: Point, high: Point, now: Point, bracketed: bool) -> tuple[float, bool]:
    """Return the next length, and whether a minimum is known to be between two points (section 4).

    c is the minimum of the cubic through two values and slopes, q that of a quadratic.
    """
    falls = now.slope * math.copysign(1, low.slope) > 0  # the slopes of low and now are alike
    if now.f > low.f:
        c = _cubic(low, now)
        q = low.t + (now.t - low.t) / 2 * low.slope / (
            (low.f - now.f) / (now.t - low.t) + low.slope)  # fmt: skip
        return (c if abs(c - low.t) < abs(q - low.t) else c + (q - c) / 2), True
    secant = now.t
    if now.slope != low.slope:
        secant = now.t + now.slope / (now.slope - low.slope) * (low.t - now.t)
    if not falls:
        c = _cubic(now, low)
        return (c if abs(c - now.t) > abs(secant - now.t) else secant), True
    if abs(now.slope) <= abs(low.slope):
        c = _cubic(now, low)
        away = (c - now.t) * (now.t - low.t) > 0  # else the cubic has no minimum beyond now
        if bracketed:
            nearer = away and abs(c - now.t) < abs(secant - now.t)
            t = c if nearer else secant
            # Not too near to the other end, which may be the worse one.
            end = now.t + 0.66 * (high.t - now.t)
            return (min(t, end) if now.t > low.t else max(t, end)), False
        far = math.copysign(MOST_STEP, now.t - low.t)
        if not away:
            return far, False
        return (c if abs(c - now.t) > abs(secant - now.t) else secant), False
    if bracketed:
        return _cubic(now, high), False
    return math.copysign(MOST_STEP, now.t - low.t), False


def _cubic(one: Point, two: Point) -> float:
    """Return where the cubic through two points with their slopes has its minimum."""
    theta = 3 * (one.f - two.f) / (two.t - one.t) + one.slope + two.slope
    size = max(abs(theta), abs(one.slope), abs(two.slope)) or 1.0
    root = (theta / size) ** 2 - (one.slope / size) * (two.slope / size)
    gamma = math.copysign(size * math.sqrt(max(0.0, root)), two.t - one.t)
    divisor = gamma - one.slope + gamma + two.slope
    return one.t + (gamma - one.slope + theta) / (divisor or 1e-300) * (two.t - one.t)
