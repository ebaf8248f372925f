"""The GPU kernels of StyleGAN2's layers, in Triton; those of the growing networks stand with their functions.

Maps have their channels last in memory; sums are taken in float32.

Tiles have two dimensions at most: sums over a short axis of a three-dimensional one went wrong in Triton 3.6.
"""
import triton
import triton.language as tl


@triton.jit(do_not_specialize=["hw", "noise_step"])
def bias_noise_act_kernel(x, mask, scale, bias, noise, strength, out, alpha, beta, gain, slope, clamp, c, hw, noise_step,
         MASK: tl.constexpr, SCALE: tl.constexpr, BIAS: tl.constexpr, NOISE: tl.constexpr, ACT: tl.constexpr, R: tl.constexpr,
         C: tl.constexpr):
    """R pixels and C channels of image n; its noise begins at n · noise_step."""
    n, row, channel = tl.program_id(0).to(tl.int64), tl.program_id(1) * R + tl.arange(0, R), tl.program_id(2) * C + tl.arange(0, C)
    valid, known = row < hw, channel < c
    inside, first, at = valid[:, None] & known[None, :], n * hw * c, row[:, None] * c + channel[None, :]
    v = tl.load(x + first + at, mask=inside, other=0.0).to(tl.float32) * alpha
    if MASK:
        y = tl.load(mask + first + at, mask=inside, other=0.0).to(tl.float32)
        v *= tl.where(tl.abs(y) < clamp, gain * tl.where(y < 0, slope, 1.0), 0.0)
    if SCALE:
        v *= tl.load(scale + n * c + channel, mask=known, other=0.0).to(tl.float32)[None, :]
    if BIAS:
        v += tl.load(bias + channel, mask=known, other=0.0).to(tl.float32)[None, :] * beta
    if NOISE:
        v += (tl.load(noise + n * noise_step + row, mask=valid, other=0.0).to(tl.float32)
              * tl.load(strength).to(tl.float32))[:, None]
    if ACT:
        v = tl.where(v < 0, v * slope, v) * gain
        v = tl.minimum(tl.maximum(v, -clamp), clamp)
    tl.store(out + first + at, v.to(out.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["hw", "rows", "noise_step"])
def sums_kernel(g, mask, x, scale, noise, out, dots, sums, noises, alpha, beta, gain, slope, clamp, c, hw, rows, noise_step,
          MASK: tl.constexpr, X: tl.constexpr, SCALE: tl.constexpr, NOISE: tl.constexpr, OUT: tl.constexpr, SUM: tl.constexpr,
          R: tl.constexpr, C: tl.constexpr):
    """`rows` pixels of image n, R at a time. What is summed over them is kept apart until the end, for a sum makes threads wait."""
    n, chunk, part = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.program_id(2)
    channel = part * C + tl.arange(0, C)
    known, first = channel < c, n * hw * c
    dot, total, noisy = tl.zeros([R, C], tl.float32), tl.zeros([R, C], tl.float32), tl.zeros([R, C], tl.float32)
    factor = tl.full([C], 1.0, tl.float32) * alpha
    if SCALE:
        factor *= tl.load(scale + n * c + channel, mask=known, other=0.0).to(tl.float32)
    for start in range(chunk * rows, min((chunk + 1) * rows, hw), R):
        row = start + tl.arange(0, R)
        valid = row < hw
        inside, at = valid[:, None] & known[None, :], row[:, None] * c + channel[None, :]
        z = tl.load(g + first + at, mask=inside, other=0.0).to(tl.float32)
        if MASK:
            y = tl.load(mask + first + at, mask=inside, other=0.0).to(tl.float32)
            z *= tl.where(tl.abs(y) < clamp, gain * tl.where(y < 0, slope, 1.0), 0.0)
        if X:
            dot += z * tl.load(x + first + at, mask=inside, other=0.0).to(tl.float32)
        if SUM:
            total += z
        if NOISE:
            noisy += z * tl.load(noise + n * noise_step + row, mask=valid, other=0.0).to(tl.float32)[:, None]
        if OUT:
            tl.store(out + first + at, (z * factor[None, :]).to(out.dtype.element_ty), mask=inside)
    to = (n * tl.num_programs(1) + chunk) * c + channel
    if X:
        tl.store(dots + to, tl.sum(dot, axis=0) * alpha, mask=known)
    if SUM:
        tl.store(sums + to, tl.sum(total, axis=0) * beta, mask=known)
    if NOISE:
        tl.store(noises + (n * tl.num_programs(1) + chunk) * tl.num_programs(2) + part, tl.sum(tl.sum(noisy, axis=0), axis=0))


@triton.jit(do_not_specialize=["h", "w", "out_h", "out_w", "pad", "flip"])
def upfirdn_kernel(x, taps, y, h, w, out_h, out_w, c, pad, gain, flip, UP: tl.constexpr, DOWN: tl.constexpr, K: tl.constexpr,
             J: tl.constexpr, C: tl.constexpr):
    """J pixels of a row of y, and C channels."""
    n, i = (tl.program_id(0) // out_h).to(tl.int64), tl.program_id(0) % out_h
    j, channel = tl.program_id(1) * J + tl.arange(0, J), tl.program_id(2) * C + tl.arange(0, C)
    known, sums = (channel < c)[None, :], tl.zeros([J, C], tl.float32)
    for a in tl.static_range(0, K, UP):                 # where zeros lie between pixels, only every UP-th tap meets one
        row_tap = a + (pad + i * DOWN * (UP - 1)) % UP
        u = i * DOWN + row_tap - pad
        row = tl.minimum(tl.maximum(u, 0), h * UP - 1)
        for b in tl.static_range(0, K, UP):
            tap = b + (pad + j * DOWN * (UP - 1)) % UP
            v = j * DOWN + tap - pad
            column, place = tl.minimum(tl.maximum(v, 0), w * UP - 1), row_tap * K + tap
            meets = (v == column) & (tap < tl.where((u == row) & (row_tap < K), K, 0))
            factor = tl.load(taps + tl.where(flip == 1, place, K * K - 1 - place), mask=meets, other=0.0)
            value = tl.load(x + (n * h + row // UP) * w * c + (column // UP)[:, None] * c + channel[None, :], mask=known)
            sums += value.to(tl.float32) * factor[:, None]
    tl.store(y + (n * out_h + i) * out_w * c + j[:, None] * c + channel[None, :], (sums * gain).to(y.dtype.element_ty),
             mask=(j < out_w)[:, None] & known)


@triton.jit(do_not_specialize=["h", "w", "out_h", "out_w", "pad", "flip"])
def smooth_kernel(x, taps, y, h, w, out_h, out_w, c, pad, gain, flip, K: tl.constexpr, ROWS: tl.constexpr, J: tl.constexpr,
            C: tl.constexpr):
    """`upfirdn_kernel` for a separable kernel of K = 3 or 4 taps at one size: ROWS rows of J pairs of pixels, which are made of K +
    1 pixels. Each row of x is filtered along itself once, and goes into K rows of y."""
    groups = tl.cdiv(out_h, ROWS)
    n, first = (tl.program_id(0) // groups).to(tl.int64), tl.program_id(0) % groups * ROWS
    j, channel = 2 * (tl.program_id(1) * J + tl.arange(0, J)), tl.program_id(2) * C + tl.arange(0, C)
    known = (channel < c)[None, :]
    a, b = tl.arange(0, 4)[:, None], tl.arange(0, 4)[None, :]
    kernel = tl.load(taps + tl.where(flip == 1, a * K + b, K * K - 1 - a * K - b), mask=(a < K) & (b < K), other=0.0)
    down, along, index = tl.sum(kernel, axis=1) * gain, tl.sum(kernel, axis=0) / tl.sum(kernel), tl.arange(0, 4)
    d0, d1 = tl.sum(tl.where(index == K - 4, down, 0.0)), tl.sum(tl.where(index == K - 3, down, 0.0))
    d2, d3 = tl.sum(tl.where(index == K - 2, down, 0.0)), tl.sum(tl.where(index == K - 1, down, 0.0))
    left0, left1, left2 = tl.zeros([J, C], tl.float32), tl.zeros([J, C], tl.float32), tl.zeros([J, C], tl.float32)
    right0, right1, right2 = left0, left1, left2
    for step in tl.static_range(ROWS + K - 1):
        u = first + step - pad
        row = tl.minimum(tl.maximum(u, 0), h - 1)
        meets, left3, right3 = tl.where(u == row, 1.0, 0.0), tl.zeros([J, C], tl.float32), tl.zeros([J, C], tl.float32)
        for tap in tl.static_range(K + 1):
            v = j + tap - pad
            column = tl.minimum(tl.maximum(v, 0), w - 1)
            value = tl.load(x + (n * h + row) * w * c + column[:, None] * c + channel[None, :], mask=known).to(tl.float32)
            within = tl.where(v == column, meets, 0.0)
            if tap < K:
                left3 += value * (within * tl.sum(tl.where(index == tap, along, 0.0)))[:, None]
            if tap > 0:
                right3 += value * (within * tl.sum(tl.where(index == tap - 1, along, 0.0)))[:, None]
        if step >= K - 1:
            i = first + step - K + 1
            to = y + (n * out_h + i) * out_w * c + j[:, None] * c + channel[None, :]
            there = (j < tl.where(i < out_h, out_w, 0))[:, None] & known
            tl.store(to, (left0 * d0 + left1 * d1 + left2 * d2 + left3 * d3).to(y.dtype.element_ty), mask=there)
            there = (j + 1 < tl.where(i < out_h, out_w, 0))[:, None] & known
            tl.store(to + c, (right0 * d0 + right1 * d1 + right2 * d2 + right3 * d3).to(y.dtype.element_ty), mask=there)
        left0, left1, left2, right0, right1, right2 = left1, left2, left3, right1, right2, right3


@triton.jit(do_not_specialize=["hw"])
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
def demod_kernel(style, norms, out, n, o, i, eps, PRECISION: tl.constexpr, N: tl.constexpr, O: tl.constexpr, I: tl.constexpr):
    """out[n, o] = (Σ_i (style[n, i] · norms[o, i])² + ε)^(−1/2)."""
    row, column = tl.program_id(0) * N + tl.arange(0, N), tl.program_id(1) * O + tl.arange(0, O)
    sums = tl.zeros([N, O], tl.float32)
    for start in range(0, i, I):
        k = start + tl.arange(0, I)
        a = tl.load(style + row[:, None] * i + k[None, :], mask=(row < n)[:, None] & (k < i)[None, :], other=0.0)
        b = tl.load(norms + column[None, :] * i + k[:, None], mask=(column < o)[None, :] & (k < i)[:, None], other=0.0)
        sums += tl.dot(a * a, b * b, input_precision=PRECISION)
    tl.store(out + row[:, None] * o + column[None, :], tl.rsqrt(sums + eps), mask=(row < n)[:, None] & (column < o)[None, :])


@triton.jit
def demod_back_kernel(g, d, other, factor, out, rows, columns, depth, row_step, depth_step, other_column, other_depth,
                PRECISION: tl.constexpr, R: tl.constexpr, C: tl.constexpr, D: tl.constexpr, STYLE: tl.constexpr):
    """With e = −g d³: out[r, c] = Σ_k e[r, k] · other[k, c]², times factor[r, c] where STYLE; either index of e may be the
    first."""
    row, column = tl.program_id(0) * R + tl.arange(0, R), tl.program_id(1) * C + tl.arange(0, C)
    sums = tl.zeros([R, C], tl.float32)
    for start in range(0, depth, D):
        k = start + tl.arange(0, D)
        at, there = row[:, None] * row_step + k[None, :] * depth_step, (row < rows)[:, None] & (k < depth)[None, :]
        scale = tl.load(d + at, mask=there, other=0.0)
        e = -tl.load(g + at, mask=there, other=0.0) * scale * scale * scale
        b = tl.load(other + column[None, :] * other_column + k[:, None] * other_depth,
                    mask=(column < columns)[None, :] & (k < depth)[:, None], other=0.0)
        sums += tl.dot(e, b * b, input_precision=PRECISION)
    to, inside = row[:, None] * columns + column[None, :], (row < rows)[:, None] & (column < columns)[None, :]
    if STYLE:
        sums *= tl.load(factor + to, mask=inside, other=0.0)
    tl.store(out + to, sums, mask=inside)


@triton.jit(do_not_specialize=["hw", "rows"])
def rgb_back_kernel(g, matrix, x, out, matrices, c, hw, rows, k, OUT: tl.constexpr, X: tl.constexpr, PRECISION: tl.constexpr,
              P: tl.constexpr, C: tl.constexpr, K: tl.constexpr):
    n, chunk = tl.program_id(0).to(tl.int64), tl.program_id(1)
    channel, colour = tl.program_id(2) * C + tl.arange(0, C), tl.arange(0, K)
    known, lines = (channel < c)[None, :], (colour < k)[:, None]
    sums, first, to = tl.zeros([K, C], tl.float32), n * hw * c, colour[:, None] * c + channel[None, :]
    if OUT:
        m = tl.load(matrix + n * k * c + to, mask=lines & known, other=0.0).to(tl.float32)
    for start in range(chunk * rows, min((chunk + 1) * rows, hw), P):
        pixel = start + tl.arange(0, P)
        valid, at = (pixel < hw)[:, None], pixel[:, None] * c + channel[None, :]
        z = tl.load(g + n * hw * k + pixel[:, None] * k + colour[None, :], mask=valid & (colour < k)[None, :],
                    other=0.0).to(tl.float32)
        if OUT:
            tl.store(out + first + at, tl.dot(z, m, input_precision=PRECISION).to(out.dtype.element_ty), mask=valid & known)
        if X:
            tile = tl.load(x + first + at, mask=valid & known, other=0.0).to(tl.float32)
            sums += tl.dot(tl.trans(z), tile, input_precision=PRECISION)
    if X:
        tl.store(matrices + (n * tl.num_programs(1) + chunk) * k * c + to, sums, mask=lines & known)


@triton.jit(do_not_specialize=["n"])
def dense_kernel(a, b, bias, out, sums, starts, n, d, width, alpha, beta, gain, slope, FORM: tl.constexpr, GROUPS: tl.constexpr,
           BIAS: tl.constexpr, PRECISION: tl.constexpr, R: tl.constexpr, C: tl.constexpr, K: tl.constexpr):
    """A tile of an activated x Wᵀ + bias, of z W, or of zᵀ x with Σ z (FORM 0, 1, 2) of group i: x is [n, d], W its rows
    `starts[i]` to `starts[i + 1]` of all weights, z lies in memory behind those of the groups before."""
    i, first, end = tl.program_id(2), 0, width
    if GROUPS:
        first, end = tl.load(starts + i), tl.load(starts + i + 1)
    c = end - first
    of_x, of_w, of_z = i * n * d, first * d, first * n
    if FORM == 0:
        rows, columns, depth, of_a, row_a, depth_a, of_b, depth_b, column_b, of_out = n, c, d, of_x, d, 1, of_w, 1, d, of_z
    elif FORM == 1:
        rows, columns, depth, of_a, row_a, depth_a, of_b, depth_b, column_b, of_out = n, d, c, of_z, c, 1, of_w, d, 1, of_x
    else:
        rows, columns, depth, of_a, row_a, depth_a, of_b, depth_b, column_b, of_out = c, d, n, of_z, 1, c, of_x, d, 1, of_w
    row, column = tl.program_id(0) * R + tl.arange(0, R), tl.program_id(1) * C + tl.arange(0, C)
    total, lines = tl.zeros([R, C], tl.float32), tl.zeros([R, K], tl.float32)
    for start in range(0, depth, K):
        k = start + tl.arange(0, K)
        at, there = of_a + row[:, None] * row_a + k[None, :] * depth_a, (row < rows)[:, None] & (k < depth)[None, :]
        z = tl.load(a + at, mask=there, other=0.0).to(tl.float32)
        if FORM == 2:
            lines += z
        v = tl.load(b + of_b + k[:, None] * depth_b + column[None, :] * column_b,
                    mask=(k < depth)[:, None] & (column < columns)[None, :], other=0.0)
        total += tl.dot(z, v.to(tl.float32), input_precision=PRECISION)
    total *= alpha
    if BIAS:
        total += tl.load(bias + first + column, mask=column < columns, other=0.0)[None, :] * beta
    if FORM == 0:
        total = tl.where(total < 0, total * slope, total) * gain
    tl.store(out + of_out + row[:, None] * columns + column[None, :], total,
             mask=(row < rows)[:, None] & (column < columns)[None, :])
    if FORM == 2:
        if tl.program_id(1) == 0:
            tl.store(sums + first + row, tl.sum(lines, axis=1) * beta, mask=row < rows)


@triton.jit(do_not_specialize=["n", "chunks", "parts"])
def collect_kernel(partial, noises, dots, sums, noise, n, chunks, c, parts, DOTS: tl.constexpr, SUMS: tl.constexpr,
             NOISE: tl.constexpr, R: tl.constexpr, C: tl.constexpr):
    """Add up what the programs of `sums_kernel` left: dots [N, C], and in further programs sums [C] and noise []."""
    who, channel = tl.program_id(0) + (0 if DOTS else n), tl.program_id(1) * C + tl.arange(0, C)
    known, total = (channel < c)[None, :], tl.zeros([R, C], tl.float32)
    if who < n:
        if DOTS:
            for start in range(0, chunks, R):
                row = start + tl.arange(0, R)
                total += tl.load(partial + (who * chunks + row)[:, None] * c + channel[None, :],
                                 mask=(row < chunks)[:, None] & known, other=0.0)
            tl.store(dots + who * c + channel, tl.sum(total, axis=0), mask=channel < c)
    elif who == n:
        if SUMS:
            for start in range(0, n * chunks, R):
                row = start + tl.arange(0, R)
                total += tl.load(partial + (n * chunks + row)[:, None] * c + channel[None, :],
                                 mask=(row < n * chunks)[:, None] & known, other=0.0)
            tl.store(sums + channel, tl.sum(total, axis=0), mask=channel < c)
    else:
        if NOISE:
            if tl.program_id(1) == 0:           # in one condition, Triton 3.2 cannot interpret it
                found = tl.zeros([R * C], tl.float32)
                for start in range(0, n * chunks * parts, R * C):
                    at = start + tl.arange(0, R * C)
                    found += tl.load(noises + at, mask=at < n * chunks * parts, other=0.0)
                tl.store(noise, tl.sum(found, axis=0))
