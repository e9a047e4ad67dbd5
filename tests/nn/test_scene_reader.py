"""The reader of scenes: what a grid says, in closed form."""

from __future__ import annotations

import torch

from genkit.nn.scene_reader import SceneGrid, SceneReader, Seen, things_in


def grid(**cells: tuple[float, int, int, int, float, float]) -> SceneGrid:
    """A grid of 8 x 8 where cells such as r2c5 hold (logit, shape, colour, size, x, y)."""
    there, place = torch.full((1, 8, 8), -9.0), torch.zeros(1, 2, 8, 8)
    looks = [torch.zeros(1, count, 8, 8) for count in (8, 8, 2)]
    for name, (logit, *numbers, x, y) in cells.items():
        row, column = int(name[1]), int(name[3])
        there[0, row, column] = logit
        place[0, :, row, column] = torch.tensor([x, y])
        for each, number in zip(looks, numbers, strict=True):
            each[0, number, row, column] = 5.0
    return SceneGrid(there, *looks, place, torch.zeros(1, 4))


def test_sure_cells_are_things_at_their_place():
    (found,) = things_in(grid(r2c5=(3.0, 4, 7, 1, 0.5, 0.25), r6c0=(0.1, 1, 2, 0, 0.0, 1.0)))
    assert found == [Seen(4, 7, 1, 5.5 / 8, 2.25 / 8), Seen(1, 2, 0, 0.0, 7 / 8)]


def test_of_neighbours_the_surest_counts_and_unsure_cells_do_not():
    said = grid(
        r2c5=(3.0, 4, 7, 1, 0.9, 0.5), r2c6=(2.0, 4, 7, 1, 0.1, 0.5), r5c5=(-0.1, 0, 0, 0, 0, 0)
    )
    ((one,),) = things_in(said)
    assert one.x == (5 + said.place[0, 0, 2, 5].item()) / 8


def test_a_thing_on_the_line_between_two_cells_is_seen_once():
    half = (-0.4, 4, 7, 1)  # a share of .40
    ((one,),) = things_in(grid(r2c5=(*half, 1.0, 0.5), r2c6=(-0.41, *half[1:], 0.0, 0.5)))
    assert (one.x, one.y) == (6 / 8, 2.5 / 8)
    assert things_in(grid(r2c5=(*half, 1.0, 0.5))) == [[]]


def test_a_grid_has_a_cell_for_each_four_px():
    network = SceneReader(width=3).eval()
    said = network(torch.zeros(2, 3, 32, 32))
    assert said.there.shape == (2, 8, 8)
    assert said.shape.shape == said.color.shape == (2, 8, 8, 8)
    assert said.size.shape == said.place.shape == (2, 2, 8, 8)
    assert said.ground.shape == (2, 4)
    assert network(torch.zeros(1, 3, 64, 64)).there.shape == (1, 16, 16)
    assert network.features(torch.zeros(2, 3, 32, 32)).shape == (2, 20)
