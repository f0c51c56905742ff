// The layer product: walk the spikes of the layer below and add contiguous rows of a weight matrix that is stored once.
// One instance a layer; @NAMES@ are filled in by objects.py. Called once a (sub-)step with the number of that step.
// Sizes that are known only at run time come from run.bin: samples are taken in chunks of BATCH, one chunk after the other.
namespace @UNIT@ {

static const int64_t BATCH = @BATCH@, PRE = @PRE@, POST = @POST@;
// Spikes are in ascending order, so those of a sample stand together. Eight rows at a time keep the sum in a register;
// each element still gets its rows one after the other, and so the same bits.
template <int SIGN>
static void add_rows(real* __restrict__ sum, const int32_t* spikes, int64_t count, const real* weight) {
    int64_t e = 0;
    while (e < count) {
        const int64_t sample = spikes[e]/PRE, first = sample*PRE, end = first + PRE;
        real* __restrict__ out = sum + sample*POST;
        #define ROW(k) const real* __restrict__ r##k = weight + (spikes[e + k] - first)*POST
        for (; e + 8 <= count && spikes[e + 7] < end; e += 8) {
            ROW(0); ROW(1); ROW(2); ROW(3); ROW(4); ROW(5); ROW(6); ROW(7);
            if (SIGN > 0) for (int64_t m = 0; m < POST; m++) out[m] = out[m] + r0[m] + r1[m] + r2[m] + r3[m] + r4[m] + r5[m] + r6[m] + r7[m];
            else          for (int64_t m = 0; m < POST; m++) out[m] = out[m] - r0[m] - r1[m] - r2[m] - r3[m] - r4[m] - r5[m] - r6[m] - r7[m];
        }
        for (; e < count && spikes[e] < end; e++) {
            ROW(0);
            if (SIGN > 0) for (int64_t m = 0; m < POST; m++) out[m] += r0[m];
            else          for (int64_t m = 0; m < POST; m++) out[m] -= r0[m];
        }
        #undef ROW
    }
}

static void add_frame(real* __restrict__ sum, const real* x, const real* weight) {
    for (int64_t sample = 0; sample < BATCH; sample++)
        for (int64_t k = 0; k < PRE; k++) {
            const real value = x[sample*PRE + k];
            if (value == 0) continue;
            real* __restrict__ out = sum + sample*POST;
            const real* __restrict__ row = weight + k*POST;
            for (int64_t m = 0; m < POST; m++) out[m] += value*row[m];
        }
}

static void add_bias(real* __restrict__ sum, const real* bias) {
    for (int64_t sample = 0; sample < BATCH; sample++)
        for (int64_t m = 0; m < POST; m++) sum[sample*POST + m] += bias[m];
}

static void clear(real* sum) { memset(sum, 0, sizeof(real)*BATCH*POST); }

}  // namespace @UNIT@

static inline double @UNIT@_call(int64_t now) {
    using namespace @UNIT@;
    static const Plan* plan = (const Plan*)map_file("run.bin", sizeof(Plan));
    static const real* weight = (const real*)map_file("@UNIT@.bin", sizeof(real)*(PRE*POST + POST));
    static const real* bias = weight + PRE*POST;
    const int64_t K = plan->refine, in_chunk = now % (plan->steps*K), chunk = now/(plan->steps*K);
    const int64_t step = in_chunk/K, sub = in_chunk % K;
    real* current = @CURRENT@;
    real* jump = @JUMP@;
@BODY@
    return 0.0;
}
