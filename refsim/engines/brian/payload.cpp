// What the spikes of a layer carry, straight from Brian2's array of that state, which is 0 where there is no spike.
namespace @CONNECTION@ {

static const int64_t PRE = @PRE@, AGE = @AGE@;  // the array is that of this step where the layer has run already, else of the step before
@LATER@
static std::vector<real> line;  // the last `size` steps, each of the whole batch
static int64_t now, size = 1;

static int64_t wait(int64_t k) { return @WAIT@; }

static void take(int64_t in_chunk) {
    if (in_chunk == 0) {
        for (int64_t k = 0; k < PRE; k++) size = std::max(size, wait(k) + 1);
        line.assign(size*BATCH*PRE, 0);  // silence came before the first step
    }
    now = in_chunk;
    if (in_chunk >= AGE) memcpy(&line[(in_chunk - AGE) % size*BATCH*PRE], @PAYLOAD@, sizeof(real)*BATCH*PRE);
}

static void add(real* __restrict__ out, int64_t first, int64_t last, int64_t sample, const real* weight) {
    for (int64_t k = 0; k < PRE; k++) {
        const real value = line[((now - wait(k) + size) % size*BATCH + sample)*PRE + k];
        if (value == 0) continue;
        const real* __restrict__ row = weight + k*POST;
        for (int64_t m = first; m < last; m++) out[m] += value*row[m];
    }
}

}  // namespace @CONNECTION@
