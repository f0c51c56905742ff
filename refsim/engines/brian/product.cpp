// The layer product: for each sample, walk the spikes that arrive and add contiguous rows of a weight matrix that is stored once.
// One instance a layer. Called once a (sub-)step with the number of that step; samples are taken in chunks of BATCH.
namespace @UNIT@ {

static const int64_t POST = @POST@;

struct List { const int32_t *at, *end; };  // ascending: place in the batch times number of inputs, plus input

// A vector of the processor, and how many of them a tile of the sum takes, so that the tile stays in registers.
#if defined(__AVX512F__)
enum { BYTES = 64, TILE = 16 };
#elif defined(__AVX__)
enum { BYTES = 32, TILE = 8 };
#else
enum { BYTES = 16, TILE = 8 };
#endif
typedef real Vector __attribute__((vector_size(BYTES), aligned(sizeof(real)), may_alias));
static const int64_t LANES = BYTES/sizeof(real);

// Add or subtract the rows of a sample's spikes on N vectors of its sum. Each element gets its rows one after the other, in the
// order of the spikes: however the sum is cut into tiles, the bits are those of a plain loop.
template <int SIGN, int N>
static inline void add_tile(real* out, const int32_t* at, const int32_t* end, const real* weight) {
    Vector sum[N];
    for (int v = 0; v < N; v++) sum[v] = ((const Vector*)out)[v];
    for (; at < end; at++) {
        const Vector* row = (const Vector*)(weight + (int64_t)*at*POST);
        for (int v = 0; v < N; v++) sum[v] = SIGN > 0 ? sum[v] + row[v] : sum[v] - row[v];
    }
    for (int v = 0; v < N; v++) ((Vector*)out)[v] = sum[v];
}

template <int SIGN, int N>
static inline void add_tiles(real* out, int64_t from, int64_t to, const int32_t* at, const int32_t* end, const real* weight) {
    for (; from + N*LANES <= to; from += N*LANES) add_tile<SIGN, N>(out + from, at, end, weight + from);
    if (N > 1) { add_tiles<SIGN, (N > 1 ? N/2 : 1)>(out, from, to, at, end, weight); return; }
    for (; at < end; at++)
        for (int64_t m = from; m < to; m++) out[m] = SIGN > 0 ? out[m] + weight[(int64_t)*at*POST + m] : out[m] - weight[(int64_t)*at*POST + m];
}

static const int64_t COLUMNS = TILE*LANES;  // taken at once: their part of the weight stays in the cache while all samples use it

// What arrives at a connection, divided by sample.
template <int64_t PRE>
struct Arrivals {
    const int32_t* from[BATCH + 1];

    void take(List list) {
        for (int64_t sample = 0; sample < BATCH; sample++) {
            from[sample] = list.at;
            while (list.at < list.end && *list.at < (sample + 1)*PRE) list.at++;
        }
        from[BATCH] = list.end;
    }

    template <int SIGN>
    void add(real* out, int64_t first, int64_t last, int64_t sample, const real* weight) const {
        if (from[sample] < from[sample + 1]) add_tiles<SIGN, TILE>(out, first, last, from[sample], from[sample + 1], weight - sample*PRE*POST);
    }
};

static void clear(real* out, int64_t first, int64_t last) { memset(out + first, 0, sizeof(real)*(last - first)); }

static void add_bias(real* __restrict__ out, int64_t first, int64_t last, const real* bias) { for (int64_t m = first; m < last; m++) out[m] += bias[m]; }

#define FOR_COLUMNS_AND_SAMPLES(target) \
    for (int64_t first = 0, last; first < POST && (last = first + COLUMNS < POST ? first + COLUMNS : POST, true); first += COLUMNS) \
        for (int64_t sample = 0; sample < BATCH; sample++) \
            if (real* const out = (target) + sample*POST)

@CONNECTIONS@
}  // namespace @UNIT@

static inline double @UNIT@_call(int64_t now) {
    using namespace @UNIT@;
    const Plan* plan = the_plan();
    static const real* weight = (const real*)map_file("shared/@UNIT@.bin", sizeof(real)*(@PRE@*POST + POST));
    static const real* bias = weight + @PRE@*POST;
    static const bool biased = std::count(bias, bias + POST, (real)0) != POST;
    const int64_t K = plan->refine, in_chunk = now % (plan->steps*K), chunk = now/(plan->steps*K);
    const int64_t step = in_chunk/K, sub = in_chunk % K;
    real* const current = @CURRENT@;
    real* const jump = @JUMP@;
@BODY@
    return 0.0;
}
