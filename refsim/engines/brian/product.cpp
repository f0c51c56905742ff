// The layer product: for each sample, walk the spikes that arrive and add contiguous rows of a weight matrix that is stored once.
// One instance a layer. Called once a (sub-)step with the number of that step; samples are taken in chunks of BATCH.
namespace @UNIT@ {

static const int64_t POST = @POST@;

struct List { const int32_t *at, *end; };  // ascending: place in the batch times number of inputs, plus input

// Spikes of a sample stand together. Eight rows at a time keep the sum in a register; each element still gets its rows one
// after the other, and so the same bits.
template <int SIGN, int64_t PRE>
static void add_spikes(real* __restrict__ out, int64_t sample, List& list, const real* weight) {
    const int64_t first = sample*PRE, end = first + PRE;
    #define ROW(k) const real* __restrict__ r##k = weight + (list.at[k] - first)*POST
    for (; list.at + 8 <= list.end && list.at[7] < end; list.at += 8) {
        ROW(0); ROW(1); ROW(2); ROW(3); ROW(4); ROW(5); ROW(6); ROW(7);
        if (SIGN > 0) for (int64_t m = 0; m < POST; m++) out[m] = out[m] + r0[m] + r1[m] + r2[m] + r3[m] + r4[m] + r5[m] + r6[m] + r7[m];
        else          for (int64_t m = 0; m < POST; m++) out[m] = out[m] - r0[m] - r1[m] - r2[m] - r3[m] - r4[m] - r5[m] - r6[m] - r7[m];
    }
    for (; list.at < list.end && *list.at < end; list.at++) {
        ROW(0);
        if (SIGN > 0) for (int64_t m = 0; m < POST; m++) out[m] += r0[m];
        else          for (int64_t m = 0; m < POST; m++) out[m] -= r0[m];
    }
    #undef ROW
}

static void clear(real* out) { memset(out, 0, sizeof(real)*POST); }

static void add_bias(real* __restrict__ out, const real* bias) { for (int64_t m = 0; m < POST; m++) out[m] += bias[m]; }

@CONNECTIONS@
}  // namespace @UNIT@

static inline double @UNIT@_call(int64_t now) {
    using namespace @UNIT@;
    const Plan* plan = the_plan();
    static const real* weight = (const real*)map_file("@UNIT@.bin", sizeof(real)*(@PRE@*POST + POST));
    static const real* bias = weight + @PRE@*POST;
    static const bool biased = std::count(bias, bias + POST, (real)0) != POST;
    const int64_t K = plan->refine, in_chunk = now % (plan->steps*K), chunk = now/(plan->steps*K);
    const int64_t step = in_chunk/K, sub = in_chunk % K;
    real* const current = @CURRENT@;
    real* const jump = @JUMP@;
@BODY@
    return 0.0;
}
