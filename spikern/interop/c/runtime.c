/* What exported networks call. Functions are separated by empty lines; each is copied into an
   exported file that calls it. Rows of weights are added in the order of the sources, so that every
   sum rounds as in the stream. */

/* current += value * row */
static void add_row(float *current, const float *w, int row, int targets, float value)
{
    const float *from = w + (size_t)row * (size_t)targets;
    for (int h = 0; h < targets; h++)
        current[h] += value * from[h];
}

/* current += the rows of the inputs that are not zero, in their order, four in one pass */
static void add_inputs(float *current, const float *w, const float *x, int channels, int targets)
{
    int used[4] = {0}, n = 0;
    for (int j = 0; j < channels; j++) {
        if (x[j] == 0.0f)
            continue;
        used[n++] = j;
        if (n < 4)
            continue;
        const float *w0 = w + (size_t)used[0] * (size_t)targets;
        const float *w1 = w + (size_t)used[1] * (size_t)targets;
        const float *w2 = w + (size_t)used[2] * (size_t)targets;
        const float *w3 = w + (size_t)used[3] * (size_t)targets;
        const float x0 = x[used[0]], x1 = x[used[1]], x2 = x[used[2]], x3 = x[used[3]];
        for (int h = 0; h < targets; h++)
            current[h] = current[h] + x0 * w0[h] + x1 * w1[h] + x2 * w2[h] + x3 * w3[h];
        n = 0;
    }
    for (int k = 0; k < n; k++)
        add_row(current, w, used[k], targets, x[used[k]]);
}

/* The same for a row of listed synapses. */
static void add_row_listed(float *current, const uint32_t *begin, const uint16_t *target,
                           const float *w, int row, float value)
{
    for (uint32_t e = begin[row]; e < begin[row + 1]; e++)
        current[target[e]] += value * w[e];
}

/* sum += value * row for small whole values, else current += value * row */
static void add_row_int8(float *current, int32_t *sum, const int8_t *w, int row, int targets,
                         float value)
{
    const int8_t *from = w + (size_t)row * (size_t)targets;
    if (value >= -127.0f && value <= 127.0f && (float)(int32_t)value == value) {
        const int32_t whole = (int32_t)value;
        for (int h = 0; h < targets; h++)
            sum[h] += whole * from[h];
    } else {
        for (int h = 0; h < targets; h++)
            current[h] += value * (float)from[h];
    }
}

/* The same for a row of listed synapses. */
static void add_row_listed_int8(float *current, int32_t *sum, const uint32_t *begin,
                                const uint16_t *target, const int8_t *w, int row, float value)
{
    const int whole = value >= -127.0f && value <= 127.0f && (float)(int32_t)value == value;
    for (uint32_t e = begin[row]; e < begin[row + 1]; e++) {
        if (whole)
            sum[target[e]] += (int32_t)value * w[e];
        else
            current[target[e]] += value * (float)w[e];
    }
}

/* The first place of `fired`, which is ascending, at a neuron of begin .. end - 1; `count` is cut to
   end after the last. */
static int first_within(const uint16_t *fired, int *count, int begin, int end)
{
    int k = 0;
    while (k < *count && fired[k] < begin)
        k++;
    while (*count > k && fired[*count - 1] >= end)
        --*count;
    return k;
}

/* current += the rows of the neurons first .. first + rows - 1 that fired */
static void add_spikes(float *current, const float *w, int targets, const uint16_t *fired,
                       int count, int first, int rows)
{
    int k = first_within(fired, &count, first, first + rows);
    for (; k + 4 <= count; k += 4) {
        const float *w0 = w + (size_t)(fired[k] - first) * (size_t)targets;
        const float *w1 = w + (size_t)(fired[k + 1] - first) * (size_t)targets;
        const float *w2 = w + (size_t)(fired[k + 2] - first) * (size_t)targets;
        const float *w3 = w + (size_t)(fired[k + 3] - first) * (size_t)targets;
        for (int h = 0; h < targets; h++)
            current[h] = current[h] + w0[h] + w1[h] + w2[h] + w3[h];
    }
    for (; k < count; k++) {
        const float *w0 = w + (size_t)(fired[k] - first) * (size_t)targets;
        for (int h = 0; h < targets; h++)
            current[h] += w0[h];
    }
}

/* The same for rows of listed synapses. */
static void add_spikes_listed(float *current, const uint32_t *begin, const uint16_t *target,
                              const float *w, const uint16_t *fired, int count, int first, int rows)
{
    for (int k = 0; k < count; k++) {
        const int row = fired[k] - first;
        if (row < 0 || row >= rows)
            continue;
        for (uint32_t e = begin[row]; e < begin[row + 1]; e++)
            current[target[e]] += w[e];
    }
}

/* sum += the rows of the neurons first .. first + rows - 1 that fired */
static void add_spikes_int8(int32_t *sum, const int8_t *w, int targets, const uint16_t *fired,
                            int count, int first, int rows)
{
    int k = first_within(fired, &count, first, first + rows);
    for (; k + 4 <= count; k += 4) {
        const int8_t *w0 = w + (size_t)(fired[k] - first) * (size_t)targets;
        const int8_t *w1 = w + (size_t)(fired[k + 1] - first) * (size_t)targets;
        const int8_t *w2 = w + (size_t)(fired[k + 2] - first) * (size_t)targets;
        const int8_t *w3 = w + (size_t)(fired[k + 3] - first) * (size_t)targets;
        for (int h = 0; h < targets; h++)
            sum[h] += w0[h] + w1[h] + w2[h] + w3[h];
    }
    for (; k < count; k++) {
        const int8_t *w0 = w + (size_t)(fired[k] - first) * (size_t)targets;
        for (int h = 0; h < targets; h++)
            sum[h] += w0[h];
    }
}

/* The same for rows of listed synapses. */
static void add_spikes_listed_int8(int32_t *sum, const uint32_t *begin, const uint16_t *target,
                                   const int8_t *w, const uint16_t *fired, int count, int first,
                                   int rows)
{
    for (int k = 0; k < count; k++) {
        const int row = fired[k] - first;
        if (row < 0 || row >= rows)
            continue;
        for (uint32_t e = begin[row]; e < begin[row + 1]; e++)
            sum[target[e]] += w[e];
    }
}

/* Write 1 for the neurons first .. first + size - 1 that fired. */
static void mark_spikes(uint8_t *marks, const uint16_t *fired, int count, int first, int size)
{
    for (int k = 0; k < count; k++) {
        const int j = fired[k] - first;
        if (j >= 0 && j < size)
            marks[j] = 1;
    }
}

/* 2^n */
static float power_of_two(int32_t n)
{
    const uint32_t bits = (uint32_t)(n + 127) << 23;
    float power;
    memcpy(&power, &bits, sizeof power);
    return power;
}

/* e^x within two units in the last place: the polynomial of Cephes' expf. */
static float exponential(float x)
{
    const float held = x > -104.0f ? (x > 89.0f ? 89.0f : x) : -104.0f;
    const float nearest = held * 1.44269504f + 0.5f;
    const int32_t whole = (int32_t)nearest - (nearest < (float)(int32_t)nearest);
    const int32_t half = whole >> 1; /* 2^n itself may be out of range */
    const float n = (float)whole;
    const float r = (held - n * 0.693359375f) + n * 2.12194440e-4f;
    float y = 1.9875691500e-4f * r + 1.3981999507e-3f;
    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    y = (y * r) * r + r + 1.0f;
    y = (y * power_of_two(half)) * power_of_two(whole - half);
    return x == x ? y : x;
}

/* 1 / (1 + e^-x) */
static float sigmoid(float x)
{
    return 1.0f / (1.0f + exponential(-x));
}

/* tanh x, to about 1e-7; the libraries of small devices compute it in double precision. */
static float hyperbolic(float x)
{
    return 2.0f * sigmoid(2.0f * x) - 1.0f;
}

/* to += w x, w (targets, sources); four targets at a time share what is read of x */
static void add_products(float *to, const float *w, const float *x, int targets, int sources)
{
    const int fours = targets / 4 * 4;
    for (int h = 0; h < fours; h += 4, w += 4 * sources) {
        const float *w1 = w + sources, *w2 = w1 + sources, *w3 = w2 + sources;
        float a = 0.0f, b = 0.0f, c = 0.0f, d = 0.0f;
        for (int j = 0; j < sources; j++) {
            a += w[j] * x[j];
            b += w1[j] * x[j];
            c += w2[j] * x[j];
            d += w3[j] * x[j];
        }
        to[h] += a;
        to[h + 1] += b;
        to[h + 2] += c;
        to[h + 3] += d;
    }
    for (int h = fours; h < targets; h++, w += sources) {
        float a = 0.0f;
        for (int j = 0; j < sources; j++)
            a += w[j] * x[j];
        to[h] += a;
    }
}

/* h of a plain RNN of n units from its gates */
static void rnn(const float *gates, float *h, int n)
{
    for (int j = 0; j < n; j++)
        h[j] = hyperbolic(gates[j]);
}

/* h of a GRU: gates r, z, n from the input and, for r and z, from h; `hidden` is that of n from h */
static void gru(const float *gates, const float *hidden, float *h, int n)
{
    for (int j = 0; j < n; j++) {
        const float r = sigmoid(gates[j]), z = sigmoid(gates[n + j]);
        const float new_h = hyperbolic(gates[2 * n + j] + r * hidden[j]);
        h[j] = (1.0f - z) * new_h + z * h[j];
    }
}

/* h and c of an LSTM from its gates i, f, g, o */
static void lstm(const float *gates, float *h, float *c, int n)
{
    for (int j = 0; j < n; j++) {
        const float i = sigmoid(gates[j]), f = sigmoid(gates[n + j]);
        c[j] = f * c[j] + i * hyperbolic(gates[2 * n + j]);
        h[j] = sigmoid(gates[3 * n + j]) * hyperbolic(c[j]);
    }
}

#if defined(__ARM_FEATURE_DSP)
/* sum + the four products of bytes that begin at w and at x, in the lanes of a 32-bit register */
static int32_t sum_of_four(const int8_t *w, const int8_t *x, int32_t sum)
{
    uint32_t a, b;
    memcpy(&a, w, 4);
    memcpy(&b, x, 4);
    sum = __smlad(__sxtb16(a), __sxtb16(b), sum);
    return __smlad(__sxtb16(a >> 8 | a << 24), __sxtb16(b >> 8 | b << 24), sum);
}
#endif

/* to[0..3] = w x for four rows of weights, both of int8 */
static void products_int8(int32_t *to, const int8_t *w, const int8_t *x, int n)
{
    const int8_t *w1 = w + n, *w2 = w1 + n, *w3 = w2 + n;
    int32_t a = 0, b = 0, c = 0, d = 0;
    int j = 0;
#if defined(__ARM_FEATURE_DSP)
    for (; j + 4 <= n; j += 4) {
        a = sum_of_four(w + j, x + j, a);
        b = sum_of_four(w1 + j, x + j, b);
        c = sum_of_four(w2 + j, x + j, c);
        d = sum_of_four(w3 + j, x + j, d);
    }
#endif
    for (; j < n; j++) {
        a += w[j] * x[j];
        b += w1[j] * x[j];
        c += w2[j] * x[j];
        d += w3[j] * x[j];
    }
    to[0] = a;
    to[1] = b;
    to[2] = c;
    to[3] = d;
}

/* the same for one row */
static int32_t product_int8(const int8_t *w, const int8_t *x, int n)
{
    int32_t sum = 0;
    for (int j = 0; j < n; j++)
        sum += w[j] * x[j];
    return sum;
}

/* logits = bias + scale * (w x) */
static void read_out_int8(float *logits, const int8_t *w, const float *scale, const float *bias,
                          const int8_t *x, int targets, int sources)
{
    for (int h = 0; h < targets; h++)
        logits[h] = bias[h]
                    + scale[h] * (float)product_int8(w + (size_t)h * (size_t)sources, x, sources);
}

/* The same for the mean of x over some steps. */
static void read_out_mean(float *logits, const int8_t *w, const float *scale, const float *bias,
                          const int32_t *x, uint32_t steps, int targets, int sources)
{
    for (int h = 0; h < targets; h++, w += sources) {
        int64_t sum = 0;
        for (int j = 0; j < sources; j++)
            sum += (int64_t)w[j] * x[j];
        logits[h] = bias[h] + (steps ? scale[h] * ((float)sum / (float)steps) : 0.0f);
    }
}

/* An input with 8 bits of fraction, held to -64..64. */
static int32_t fixed_input(float value)
{
    const float within = value > 64.0f ? 64.0f : (value > -64.0f ? value : -64.0f);
    return (int32_t)(within * 256.0f + (within < 0.0f ? -0.5f : 0.5f));
}

/* sum += a row for an input with 8 bits of fraction */
static void add_row_fixed(int32_t *sum, const int8_t *w, int row, int targets, float value)
{
    const int8_t *from = w + (size_t)row * (size_t)targets;
    const int32_t whole = fixed_input(value);
    for (int h = 0; h < targets; h++)
        sum[h] += whole * from[h];
}

/* sum += the rows of the inputs that are not zero, four in one pass */
static void add_inputs_fixed(int32_t *sum, const int8_t *w, const float *x, int channels,
                             int targets)
{
    int used[4] = {0}, n = 0;
    for (int j = 0; j < channels; j++) {
        if (x[j] == 0.0f)
            continue;
        used[n++] = j;
        if (n < 4)
            continue;
        const int8_t *w0 = w + (size_t)used[0] * (size_t)targets;
        const int8_t *w1 = w + (size_t)used[1] * (size_t)targets;
        const int8_t *w2 = w + (size_t)used[2] * (size_t)targets;
        const int8_t *w3 = w + (size_t)used[3] * (size_t)targets;
        const int32_t x0 = fixed_input(x[used[0]]), x1 = fixed_input(x[used[1]]);
        const int32_t x2 = fixed_input(x[used[2]]), x3 = fixed_input(x[used[3]]);
        for (int h = 0; h < targets; h++)
            sum[h] += x0 * w0[h] + x1 * w1[h] + x2 * w2[h] + x3 * w3[h];
        n = 0;
    }
    for (int k = 0; k < n; k++)
        add_row_fixed(sum, w, used[k], targets, x[used[k]]);
}

/* The same for a row of listed synapses. */
static void add_row_listed_fixed(int32_t *sum, const uint32_t *begin, const uint16_t *target,
                                 const int8_t *w, int row, float value)
{
    const int32_t whole = fixed_input(value);
    for (uint32_t e = begin[row]; e < begin[row + 1]; e++)
        sum[target[e]] += whole * w[e];
}

/* A product of numbers with 20 bits of fraction. */
static int32_t multiplied(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b + 524288) >> 20);
}

/* A number of 64 bits, held to those that an int32 has with either sign. */
static int32_t held(int64_t x)
{
    return x > 2147483647 ? 2147483647 : (x < -2147483647 ? -2147483647 : (int32_t)x);
}

/* A number with 20 bits of fraction, held to -512..512. */
static int32_t limited(int32_t x)
{
    return x > 536870911 ? 536870911 : (x < -536870912 ? -536870912 : x);
}

/* sum * multiplier / 2^24, rounded */
static int32_t scaled(int32_t sum, int32_t multiplier)
{
    return (int32_t)(((int64_t)sum * multiplier + 8388608) >> 24);
}

/* gates += multiplier * sum, 12 bits of fraction */
static void add_scaled_fixed(int32_t *gates, const int32_t *sum, const int32_t *multiplier,
                             int targets)
{
    for (int h = 0; h < targets; h++)
        gates[h] += scaled(sum[h], multiplier[h]);
}

/* gates += multiplier * (w x), x in int8 */
static void add_products_int8(int32_t *gates, const int8_t *w, const int32_t *multiplier,
                              const int8_t *x, int targets, int sources)
{
    int32_t sums[4];
    const int fours = targets / 4 * 4;
    for (int h = 0; h < fours; h += 4, w += 4 * sources) {
        products_int8(sums, w, x, sources);
        for (int k = 0; k < 4; k++)
            gates[h + k] += scaled(sums[k], multiplier[h + k]);
    }
    for (int h = fours; h < targets; h++, w += sources)
        gates[h] += scaled(product_int8(w, x, sources), multiplier[h]);
}

/* 1 / (1 + e^-x) with 15 bits of fraction, x with 12, by linear interpolation */
static int32_t sigmoid_fixed(int32_t x)
{
    const int32_t held = x < -32768 ? -32768 : (x > 32767 ? 32767 : x);
    const int32_t at = (held + 32768) >> 8, rest = (held + 32768) & 255;
    return sigmoids[at] + (((sigmoids[at + 1] - sigmoids[at]) * rest) >> 8);
}

/* tanh x with 15 bits of fraction, x with 12 */
static int32_t hyperbolic_fixed(int32_t x)
{
    const int32_t held = x < -16384 ? -16384 : (x > 16383 ? 16383 : x);
    return 2 * sigmoid_fixed(2 * held) - 32768;
}

/* h with 15 bits of fraction as int8, 127 for 1 */
static int8_t state_int8(int32_t h)
{
    return (int8_t)((h * 127 + (1 << 14)) >> 15);
}

/* h of a plain RNN */
static void rnn_fixed(const int32_t *gates, int8_t *h, int n)
{
    for (int j = 0; j < n; j++)
        h[j] = state_int8(hyperbolic_fixed(gates[j]));
}

/* h of a GRU, in int8 and, as `fine`, with 15 bits of fraction */
static void gru_fixed(const int32_t *gates, const int32_t *hidden, int8_t *h, int16_t *fine, int n)
{
    for (int j = 0; j < n; j++) {
        const int32_t r = sigmoid_fixed(gates[j]), z = sigmoid_fixed(gates[n + j]);
        const int32_t more = (int32_t)(((int64_t)r * hidden[j]) >> 15);
        const int32_t new_h = hyperbolic_fixed(gates[2 * n + j] + more);
        const int32_t mixed = new_h + ((z * ((fine[j] - new_h) / 2) + (1 << 13)) >> 14);
        fine[j] = (int16_t)(mixed > 32767 ? 32767 : (mixed < -32767 ? -32767 : mixed));
        h[j] = state_int8(fine[j]);
    }
}

/* h of an LSTM in int8, c with 20 bits of fraction, held to -1024..1024 */
static void lstm_fixed(const int32_t *gates, int8_t *h, int32_t *c, int n)
{
    for (int j = 0; j < n; j++) {
        const int32_t i = sigmoid_fixed(gates[j]), f = sigmoid_fixed(gates[n + j]);
        const int64_t kept = ((int64_t)f * c[j] + (1 << 14)) >> 15;
        const int64_t next = kept + ((i * hyperbolic_fixed(gates[2 * n + j])) >> 10);
        c[j] = (int32_t)(next > 1073741824 ? 1073741824 : (next < -1073741824 ? -1073741824 : next));
        const int32_t o = sigmoid_fixed(gates[3 * n + j]);
        h[j] = state_int8((o * hyperbolic_fixed(c[j] >> 8)) >> 15);
    }
}
