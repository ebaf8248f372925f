"""The GPU kernels of `fused`, in Triton. Maps have their channels last in memory; sums are taken in float32.

Tiles have two dimensions at most: sums over a short axis of a three-dimensional one went wrong in Triton 3.6.
"""
import triton
import triton.language as tl


@triton.jit
def map_kernel(x, mask, scale, bias, noise, strength, out, alpha, beta, gain, slope, clamp, total, c, hw, noise_pixels,
         MASK: tl.constexpr, SCALE: tl.constexpr, BIAS: tl.constexpr, NOISE: tl.constexpr, ACT: tl.constexpr, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < total
    channel, pixel = at % c, at // c
    v = tl.load(x + at, mask=inside, other=0.0).to(tl.float32) * alpha
    if MASK:
        y = tl.load(mask + at, mask=inside, other=0.0).to(tl.float32)
        v *= tl.where(tl.abs(y) < clamp, gain * tl.where(y < 0, slope, 1.0), 0.0)
    if SCALE:
        v *= tl.load(scale + pixel // hw * c + channel, mask=inside, other=0.0).to(tl.float32)
    if BIAS:
        v += tl.load(bias + channel, mask=inside, other=0.0).to(tl.float32) * beta
    if NOISE:
        v += tl.load(noise + pixel % noise_pixels, mask=inside, other=0.0).to(tl.float32) * tl.load(strength).to(tl.float32)
    if ACT:
        v = tl.where(v < 0, v * slope, v) * gain
        v = tl.minimum(tl.maximum(v, -clamp), clamp)
    tl.store(out + at, v.to(out.dtype.element_ty), mask=inside)


@triton.jit
def sums_kernel(g, mask, x, scale, noise, out, dots, sums, noises, alpha, beta, gain, slope, clamp, c, hw, rows, noise_pixels,
          MASK: tl.constexpr, X: tl.constexpr, SCALE: tl.constexpr, NOISE: tl.constexpr, OUT: tl.constexpr, SUM: tl.constexpr,
          R: tl.constexpr, C: tl.constexpr):
    n, chunk, part = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.program_id(2)
    channel = part * C + tl.arange(0, C)
    known = channel < c
    dot, total, noisy = tl.zeros([C], tl.float32), tl.zeros([C], tl.float32), tl.zeros([R], tl.float32)
    factor = tl.full([C], 1.0, tl.float32) * alpha
    if SCALE:
        factor *= tl.load(scale + n * c + channel, mask=known, other=0.0).to(tl.float32)
    for start in range(chunk * rows, min((chunk + 1) * rows, hw), R):
        row = start + tl.arange(0, R)
        valid = row < hw
        inside = valid[:, None] & known[None, :]
        at = (n * hw + row)[:, None] * c + channel[None, :]
        z = tl.load(g + at, mask=inside, other=0.0).to(tl.float32)
        if MASK:
            y = tl.load(mask + at, mask=inside, other=0.0).to(tl.float32)
            z *= tl.where(tl.abs(y) < clamp, gain * tl.where(y < 0, slope, 1.0), 0.0)
        if X:
            dot += tl.sum(z * tl.load(x + at, mask=inside, other=0.0).to(tl.float32), axis=0)
        if SUM:
            total += tl.sum(z, axis=0)
        if NOISE:
            noisy += tl.sum(z, axis=1) * tl.load(noise + (n * hw + row) % noise_pixels, mask=valid, other=0.0).to(tl.float32)
        if OUT:
            tl.store(out + at, (z * factor[None, :]).to(out.dtype.element_ty), mask=inside)
    to = (n * tl.num_programs(1) + chunk) * c + channel
    if X:
        tl.store(dots + to, dot * alpha, mask=known)
    if SUM:
        tl.store(sums + to, total * beta, mask=known)
    if NOISE:
        tl.store(noises + (n * tl.num_programs(1) + chunk) * tl.num_programs(2) + part, tl.sum(noisy, axis=0))


@triton.jit
def upfirdn_kernel(x, taps, y, h, w, out_h, out_w, c, pad, gain, UP: tl.constexpr, DOWN: tl.constexpr, K: tl.constexpr, FLIP: tl.constexpr,
             BLOCK: tl.constexpr):
    """One program makes BLOCK numbers of a row of pixels, whose channels lie beside each other."""
    row = tl.program_id(0)
    i, n = row % out_h, (row // out_h).to(tl.int64)
    at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = at < out_w * c
    j, channel = at // c, at % c
    sums = tl.zeros([BLOCK], tl.float32)
    for a in tl.static_range(0, K, UP):                 # where zeros lie between pixels, only every UP-th tap meets one
        row_tap = a + (pad + i * DOWN * (UP - 1)) % UP
        u = i * DOWN + row_tap - pad
        if (u >= 0) & (u < h * UP) & (row_tap < K):
            base = (n * h + u // UP) * w * c
            for b in tl.static_range(0, K, UP):
                tap = b + (pad + j * DOWN * (UP - 1)) % UP
                v = j * DOWN + tap - pad
                there = inside & (v >= 0) & (v < w * UP)
                place = row_tap * K + tap
                factor = tl.load(taps + (place if FLIP else K * K - 1 - place))
                from_ = at + (b - pad) * c if UP * DOWN == 1 else v // UP * c + channel
                sums += tl.load(x + base + from_, mask=there, other=0.0).to(tl.float32) * factor
    tl.store(y + row.to(tl.int64) * out_w * c + at, (sums * gain).to(y.dtype.element_ty), mask=inside)


@triton.jit
def smooth_kernel(x, taps, y, h, w, out_h, out_w, c, pad, gain, FLIP: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """`upfirdn_kernel` for a separable kernel [4, 4] at one size. Each row is filtered along itself once, and goes into four rows of y."""
    rows = tl.cdiv(out_h, ROWS)
    n, first = (tl.program_id(0) // rows).to(tl.int64), tl.program_id(0) % rows * ROWS
    at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = at < out_w * c
    j = at // c
    a, b = tl.arange(0, 4)[:, None], tl.arange(0, 4)[None, :]
    place = a * 4 + b if FLIP else 15 - a * 4 - b
    kernel = tl.load(taps + place)
    down, along = tl.sum(kernel, axis=1) * gain, tl.sum(kernel, axis=0) / tl.sum(kernel)
    index = tl.arange(0, 4)
    d0, d1 = tl.sum(tl.where(index == 0, down, 0.0)), tl.sum(tl.where(index == 1, down, 0.0))
    d2, d3 = tl.sum(tl.where(index == 2, down, 0.0)), tl.sum(tl.where(index == 3, down, 0.0))
    r0, r1, r2 = tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32)
    for step in tl.static_range(ROWS + 3):
        u = first + step - pad
        r3 = tl.zeros([BLOCK], tl.float32)
        if (u >= 0) & (u < h):
            for tap in tl.static_range(4):
                v = j + tap - pad
                there = inside & (v >= 0) & (v < w)
                value = tl.load(x + (n * h + u) * w * c + at + (tap - pad) * c, mask=there, other=0.0).to(tl.float32)
                r3 += value * tl.sum(tl.where(index == tap, along, 0.0))
        if step >= 3:
            i = first + step - 3
            total = r0 * d0 + r1 * d1 + r2 * d2 + r3 * d3
            if i < out_h:
                tl.store(y + (n * out_h + i) * out_w * c + at, total.to(y.dtype.element_ty), mask=inside)
        r0, r1, r2 = r1, r2, r3


@triton.jit
def rgb_kernel(x, matrix, bias, out, c, hw, k, BIAS: tl.constexpr, P: tl.constexpr, C: tl.constexpr, K: tl.constexpr):
    n = tl.program_id(0).to(tl.int64)
    pixel, channel = tl.program_id(1) * P + tl.arange(0, P), tl.arange(0, C)
    inside = (pixel < hw)[:, None] & (channel < c)[None, :]
    tile = tl.load(x + ((n * hw + pixel) * c)[:, None] + channel[None, :], mask=inside, other=0.0).to(tl.float32)
    for colour in tl.static_range(K):
        line = tl.load(matrix + (n * k + colour) * c + channel, mask=channel < c, other=0.0)
        sums = tl.sum(tile * line[None, :], axis=1)
        if BIAS:
            sums += tl.load(bias + colour)
        tl.store(out + (n * hw + pixel) * k + colour, sums, mask=pixel < hw)


@triton.jit
def demod_kernel(style, norms, out, n, o, i, eps, N: tl.constexpr, O: tl.constexpr, I: tl.constexpr):
    """out[n, o] = (Σ_i (style[n, i] · norms[o, i])² + ε)^(−1/2)."""
    row, column = tl.program_id(0) * N + tl.arange(0, N), tl.program_id(1) * O + tl.arange(0, O)
    sums = tl.zeros([N, O], tl.float32)
    for start in range(0, i, I):
        k = start + tl.arange(0, I)
        a = tl.load(style + row[:, None] * i + k[None, :], mask=(row < n)[:, None] & (k < i)[None, :], other=0.0)
        b = tl.load(norms + column[None, :] * i + k[:, None], mask=(column < o)[None, :] & (k < i)[:, None], other=0.0)
        sums += tl.dot(a * a, b * b, input_precision="ieee")
    tl.store(out + row[:, None] * o + column[None, :], tl.rsqrt(sums + eps), mask=(row < n)[:, None] & (column < o)[None, :])


@triton.jit
def demod_back_kernel(g, d, other, factor, out, rows, columns, depth, row_step, depth_step, other_column, other_depth,
                R: tl.constexpr, C: tl.constexpr, D: tl.constexpr, STYLE: tl.constexpr):
    """With e = −g d³: out[r, c] = Σ_k e[r, k] · other[k, c]², times factor[r, c] where STYLE; either index of e may be the first."""
    row, column = tl.program_id(0) * R + tl.arange(0, R), tl.program_id(1) * C + tl.arange(0, C)
    sums = tl.zeros([R, C], tl.float32)
    for start in range(0, depth, D):
        k = start + tl.arange(0, D)
        at, there = row[:, None] * row_step + k[None, :] * depth_step, (row < rows)[:, None] & (k < depth)[None, :]
        scale = tl.load(d + at, mask=there, other=0.0)
        e = -tl.load(g + at, mask=there, other=0.0) * scale * scale * scale
        b = tl.load(other + column[None, :] * other_column + k[:, None] * other_depth, mask=(column < columns)[None, :] & (k < depth)[:, None],
                    other=0.0)
        sums += tl.dot(e, b * b, input_precision="ieee")
    to, inside = row[:, None] * columns + column[None, :], (row < rows)[:, None] & (column < columns)[None, :]
    if STYLE:
        sums *= tl.load(factor + to, mask=inside, other=0.0)
    tl.store(out + to, sums, mask=inside)


@triton.jit
def rgb_back_kernel(g, matrix, x, out, matrices, c, hw, rows, OUT: tl.constexpr, X: tl.constexpr, P: tl.constexpr, C: tl.constexpr,
              K: tl.constexpr, LINES: tl.constexpr):
    n, chunk = tl.program_id(0).to(tl.int64), tl.program_id(1)
    channel, line = tl.program_id(2) * C + tl.arange(0, C), tl.arange(0, LINES)
    sums = tl.zeros([LINES, C], tl.float32)
    for start in range(chunk * rows, min((chunk + 1) * rows, hw), P):
        pixel = start + tl.arange(0, P)
        at, inside = ((n * hw + pixel) * c)[:, None] + channel[None, :], (pixel < hw)[:, None] & (channel < c)[None, :]
        total = tl.zeros([P, C], tl.float32)
        if X:
            tile = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
        for colour in tl.static_range(K):
            z = tl.load(g + (n * hw + pixel) * K + colour, mask=pixel < hw, other=0.0)
            if OUT:
                total += z[:, None] * tl.load(matrix + (n * K + colour) * c + channel, mask=channel < c, other=0.0)[None, :]
            if X:
                sums += tl.where(line[:, None] == colour, tl.sum(z[:, None] * tile, axis=0)[None, :], 0.0)
        if OUT:
            tl.store(out + at, total.to(out.dtype.element_ty), mask=inside)
    if X:
        to = ((n * tl.num_programs(1) + chunk) * K + line)[:, None] * c + channel[None, :]
        tl.store(matrices + to, sums, mask=(line < K)[:, None] & (channel < c)[None, :])


@triton.jit
def collect_kernel(partial, noises, dots, sums, noise, n, chunks, c, parts, DOTS: tl.constexpr, SUMS: tl.constexpr, NOISE: tl.constexpr,
             C: tl.constexpr, R: tl.constexpr, M: tl.constexpr):
    """Add up what the programs of `sums_kernel` left: dots [N, C], and in further programs sums [C] and noise []."""
    who, channel = tl.program_id(0), tl.program_id(1) * C + tl.arange(0, C)
    known = channel < c
    if who < n:
        if DOTS:
            total = tl.zeros([C], tl.float32)
            for chunk in range(chunks):
                total += tl.load(partial + (who * chunks + chunk) * c + channel, mask=known, other=0.0)
            tl.store(dots + who * c + channel, total, mask=known)
    elif who == n:
        if SUMS:
            total = tl.zeros([R, C], tl.float32)
            for start in range(0, n * chunks, R):
                row = start + tl.arange(0, R)
                total += tl.load(partial + (n * chunks + row)[:, None] * c + channel[None, :], mask=(row < n * chunks)[:, None] & known[None, :],
                                 other=0.0)
            tl.store(sums + channel, tl.sum(total, axis=0), mask=known)
    else:
        if NOISE & (tl.program_id(1) == 0):
            total = tl.zeros([M], tl.float32)
            for start in range(0, n * chunks * parts, M):
                at = start + tl.arange(0, M)
                total += tl.load(noises + at, mask=at < n * chunks * parts, other=0.0)
            tl.store(noise, tl.sum(total, axis=0))
