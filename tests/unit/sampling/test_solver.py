import torch

from photogram.sampling.solver import euler_step, solve


def test_constant_velocity_is_followed_exactly() -> None:
    x = torch.tensor([2.0, -1.0, 0.5])
    velocity = torch.tensor([1.0, -2.0, 0.25])
    for num_steps in (1, 4, 8):
        sigmas = [1 - i / num_steps for i in range(num_steps + 1)]
        end = solve(x, sigmas, lambda _x, _sigma: velocity)
        assert torch.equal(end, x - velocity)


def test_straight_flow_from_noise_ends_in_the_picture() -> None:
    picture, noise = torch.rand(3, 4), torch.randn(3, 4)
    end = solve(noise, [1.0, 0.9, 0.4, 0.1, 0.0], lambda _x, _sigma: noise - picture)
    assert torch.allclose(end, picture, atol=1e-6)


def test_velocity_linear_in_sigma_has_the_left_riemann_sum() -> None:
    num_steps = 16
    sigmas = [1 - i / num_steps for i in range(num_steps + 1)]
    end = solve(torch.zeros(1), sigmas, lambda _x, sigma: torch.tensor([sigma]))
    # -sum of sigma_i / n = -(n + 1) / (2 n); all numbers are exact in binary
    assert end.item() == -(num_steps + 1) / (2 * num_steps)


def test_error_halves_when_steps_double() -> None:
    def error(num_steps: int) -> float:
        sigmas = [1 - i / num_steps for i in range(num_steps + 1)]
        end = solve(torch.zeros(1), sigmas, lambda _x, sigma: torch.tensor([3 * sigma**2]))
        return abs(end.item() + 1.0)  # the integral of -3 sigma^2 from 1 to 0 is -1

    assert 1.9 < error(32) / error(64) < 2.1


def test_velocity_may_depend_on_the_state() -> None:
    end = solve(torch.ones(1), [1.0, 0.5, 0.0], lambda x, _sigma: x)
    assert end.item() == 0.25


def test_step_is_taken_in_float32() -> None:
    x = torch.tensor([1.0])
    moved = euler_step(x, torch.tensor([1.0], dtype=torch.bfloat16), 0.001, 0.0)
    assert moved.dtype == torch.float32
    assert moved.item() == torch.tensor(1.0 - 0.001).item()
