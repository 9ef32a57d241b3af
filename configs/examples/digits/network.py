"""The model: 64 pixels in, two hidden layers, ten digits out; trained by Adam. All in float32."""

import step

np = step.import_numpy()

SIZES = (64, 128, 64, 10)
BETA1, BETA2, EPSILON = np.float32(0.9), np.float32(0.999), np.float32(1e-7)


def new_weights(rng):
    """He's initialisation: the variance of what flows through stays the same from layer to layer."""
    weights = []
    for inputs, outputs in zip(SIZES, SIZES[1:]):
        scale = np.float32(np.sqrt(2.0 / inputs))
        weights.append(rng.standard_normal((inputs, outputs), dtype=np.float32) * scale)
        weights.append(np.zeros(outputs, dtype=np.float32))
    return weights


def scores(weights, images):
    """The activations of every layer; the last are the scores of the ten digits."""
    layers = [images]
    last = len(weights) // 2 - 1
    for i in range(last + 1):
        x = layers[-1] @ weights[2 * i] + weights[2 * i + 1]
        layers.append(x if i == last else np.maximum(x, np.float32(0)))
    return layers


def accuracy(weights, images, labels):
    return float(np.mean(scores(weights, images)[-1].argmax(axis=1) == labels))


def gradients(weights, images, labels):
    """Cross entropy of the softmax, and its derivative by each weight."""
    layers = scores(weights, images)
    x = layers[-1] - layers[-1].max(axis=1, keepdims=True)
    probabilities = np.exp(x)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    rows = np.arange(len(labels))
    loss = float(-np.log(probabilities[rows, labels] + EPSILON).mean())

    slope = probabilities
    slope[rows, labels] -= np.float32(1)
    slope /= np.float32(len(labels))
    result = [None] * len(weights)
    for i in reversed(range(len(weights) // 2)):
        result[2 * i] = layers[i].T @ slope
        result[2 * i + 1] = slope.sum(axis=0)
        if i > 0:
            slope = (slope @ weights[2 * i].T) * (layers[i] > 0)
    return loss, result


class Adam:
    """Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1."""

    def __init__(self, weights):
        self.count = 0
        self.first = [np.zeros_like(w) for w in weights]
        self.second = [np.zeros_like(w) for w in weights]

    def move(self, weights, slopes, rate):
        self.count += 1
        rate *= (1 - 0.999**self.count) ** 0.5 / (1 - 0.9**self.count)
        for w, g, m, v in zip(weights, slopes, self.first, self.second):
            m += (np.float32(1) - BETA1) * (g - m)
            v += (np.float32(1) - BETA2) * (g * g - v)
            w -= np.float32(rate) * m / (np.sqrt(v) + EPSILON)


def distorted(images, rng):
    """Each image turned, scaled and moved a little, differently every time: more handwriting than there is data."""
    n = len(images)
    angle = rng.uniform(-0.2, 0.2, n).astype(np.float32)
    scale = rng.uniform(0.9, 1.12, (2, n)).astype(np.float32)
    shift = rng.uniform(-0.8, 0.8, (2, n)).astype(np.float32)
    grid = np.arange(8, dtype=np.float32) - np.float32(3.5)
    y, x = (g.reshape(1, 64) for g in np.meshgrid(grid, grid, indexing="ij"))
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    # Where in the old image each pixel of the new one comes from; one pixel of blank paper around.
    from_y = (cos * y - sin * x) * scale[0][:, None] + shift[0][:, None] + np.float32(4.5)
    from_x = (sin * y + cos * x) * scale[1][:, None] + shift[1][:, None] + np.float32(4.5)
    from_y, from_x = np.clip(from_y, 0, np.float32(8.999)), np.clip(from_x, 0, np.float32(8.999))
    padded = np.zeros((n, 10, 10), dtype=np.float32)
    padded[:, 1:9, 1:9] = images.reshape(n, 8, 8)
    flat = padded.reshape(n, 100)
    top, left = from_y.astype(np.int64), from_x.astype(np.int64)
    down, right = from_y - top, from_x - left
    corner = top * 10 + left

    def pixel(offset):
        return np.take_along_axis(flat, corner + offset, axis=1)

    upper = pixel(0) * (1 - right) + pixel(1) * right
    lower = pixel(10) * (1 - right) + pixel(11) * right
    return upper * (1 - down) + lower * down
