"""Labels of points: none on another, none on a marker, every name written."""

from __future__ import annotations

import itertools

import numpy as np
from matplotlib.text import Annotation

from perpkit import plots


def test_labels_of_crowded_points_do_not_touch():
    rng = np.random.default_rng(3)
    at = {f"rule {k}": (0.5 + x, 0.5 + y) for k, (x, y) in enumerate(rng.normal(0.0, 0.06, (7, 2)))}
    at["twin"] = at["rule 0"]
    fig, ax = plots.figure()
    ax.plot(*zip(*at.values()), "o")
    ax.set(xlim=(0, 1), ylim=(0, 1))
    plots.label_points(ax, at, dict.fromkeys(at, plots.BLUE))
    fig.draw_without_rendering()
    texts = [t for t in ax.texts if isinstance(t, Annotation) and t.get_text()]
    assert sorted(t.get_text() for t in texts) == sorted(["rule 0, twin", *(f"rule {k}" for k in range(1, 7))])
    boxes = [t.get_window_extent() for t in texts]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    assert not any(box.contains(*ax.transData.transform(point)) for box in boxes for point in at.values())
    frame = ax.get_window_extent()
    assert all(frame.x0 <= b.x0 and b.x1 <= frame.x1 and frame.y0 <= b.y0 and b.y1 <= frame.y1 for b in boxes)
