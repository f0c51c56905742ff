// The limit: this one network and nothing else, by hand. Sizes and dtype are compiled in; states stay in the first-level cache,
// sums in registers; one pass over the dense input makes its events. No checks, no files, no other neuron, no other network.
// Compiled and called by kernel.py with -DREAL=... -DPRE=... -DHIDDEN=... -DOUT=... -DSTEPS=...
#include <cstdint>
#include <cstring>

typedef REAL real;
typedef real vec __attribute__((vector_size(VECTOR)));  // VECTOR bytes: a register

static const int LANES = VECTOR/sizeof(real), TILE = 16;

constexpr int padded(int n) { return (n + LANES - 1)/LANES; }  // in vectors

// Inputs that spike, ascending; eight bools are looked at in one go.
static inline int find(const uint8_t* bits, int32_t* event) {
    int count = 0, i = 0;
    for (; i + 8 <= PRE; i += 8) {
        uint64_t word;
        memcpy(&word, bits + i, 8);
        for (; word; word &= word - 1) event[count++] = i + __builtin_ctzll(word)/8;
    }
    for (; i < PRE; i++) if (bits[i]) event[count++] = i;
    return count;
}

// sum = the rows of the weight matrix that spiked, WIDTH vectors of each held in registers
template <int WIDTH>
static inline void add_rows(vec* sum, const vec* weight, int row, const int32_t* event, int count) {
    vec kept[WIDTH] = {};
    for (int e = 0; e < count; e++)
        for (int k = 0; k < WIDTH; k++) kept[k] += weight[(int64_t)event[e]*row + k];
    for (int k = 0; k < WIDTH; k++) sum[k] = kept[k];
}

template <int N>
static inline void product(vec* sum, const vec* weight, const int32_t* event, int count) {
    const int vectors = padded(N), whole = vectors/TILE*TILE;
    for (int from = 0; from < whole; from += TILE) add_rows<TILE>(sum + from, weight + from, vectors, event, count);
    if (vectors % TILE) add_rows<vectors % TILE + !(vectors % TILE)>(sum + whole, weight + whole, vectors, event, count);
}

// v = decay*v + I; z = v >= 1; v = v - z. Returns the spikes, ascending.
template <int N>
static inline int update(real* v, const real* current, real decay, int32_t* spike) {
    int8_t z[(N + 7)/8*8] = {};
    for (int n = 0; n < N; n++) {
        const real now = decay*v[n] + current[n];
        z[n] = now >= 1;
        v[n] = now >= 1 ? now - 1 : now;
    }
    int count = 0;
    for (int n = 0; n < N; n += 8) {
        uint64_t word;
        memcpy(&word, z + n, 8);
        for (; word; word &= word - 1) spike[count++] = n + __builtin_ctzll(word)/8;
    }
    return count;
}

struct Spikes { int32_t *sample, *step, *neuron; };

static inline int64_t keep(Spikes& to, int64_t at, int sample, int step, const int32_t* spike, int count) {
    for (int k = 0; k < count; k++) { to.sample[at + k] = sample; to.step[at + k] = step; to.neuron[at + k] = spike[k]; }
    return at + count;
}

// dense (n_samples, STEPS, PRE) bool; weights (n_pre, n_post padded to whole vectors), aligned. found: spikes of each layer.
extern "C" void run(const uint8_t* dense, int n_samples, const real* hidden_weight, const real* out_weight, double decay, Spikes* to, int64_t* found) {
    found[0] = found[1] = 0;
    int32_t event[PRE], hidden_spike[HIDDEN + 8], out_spike[OUT + 8];
    vec sum[padded(HIDDEN)], out_sum[padded(OUT)];
    for (int sample = 0; sample < n_samples; sample++) {
        alignas(64) real v[padded(HIDDEN)*LANES] = {}, u[padded(OUT)*LANES] = {};
        for (int step = 0; step < STEPS; step++, dense += PRE) {
            const int events = find(dense, event);
            product<HIDDEN>(sum, (const vec*)hidden_weight, event, events);
            const int spikes = update<HIDDEN>(v, (const real*)sum, (real)decay, hidden_spike);
            found[0] = keep(to[0], found[0], sample, step, hidden_spike, spikes);
            product<OUT>(out_sum, (const vec*)out_weight, hidden_spike, spikes);
            const int outs = update<OUT>(u, (const real*)out_sum, (real)decay, out_spike);
            found[1] = keep(to[1], found[1], sample, step, out_spike, outs);
        }
    }
}
