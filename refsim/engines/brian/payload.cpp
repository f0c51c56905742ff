// The graded spikes of a layer: a number for each neuron, zero where none fires, straight from Brian2's array of that state.
namespace @CONNECTION@ {

static const int64_t PRE = @PRE@, AGE = @AGE@;
@LATER@
static std::vector<real> ring;  // the payloads of the last steps, each of the whole batch
static int64_t now = 0, size = 0;

static int64_t wait(int64_t k) { return @WAIT@; }

static void take(int64_t in_chunk) {
    if (size == 0) {
        for (int64_t k = 0; k < PRE; k++) size = std::max(size, wait(k) + 1);
        ring.resize(size*BATCH*PRE);
    }
    now = in_chunk;
    if (in_chunk >= AGE) memcpy(ring.data() + (in_chunk - AGE) % size*BATCH*PRE, @PAYLOAD@, sizeof(real)*BATCH*PRE);
}

static void add(real* __restrict__ out, int64_t first, int64_t last, int64_t sample, const real* weight) {
    for (int64_t k = 0; k < PRE; k++) {
        const int64_t then = now - wait(k);
        if (then < 0) continue;
        const real value = ring[(then % size*BATCH + sample)*PRE + k];
        if (value == 0) continue;
        const real* __restrict__ row = weight + k*POST;
        for (int64_t m = first; m < last; m++) out[m] += value*row[m];
    }
}

}  // namespace @CONNECTION@
