// A kernel over the past of one neuron's input, or of its own spikes (OWN): the newest first, each product added after the other.
namespace @UNIT@ {

static const int64_t OWN = @OWN@, SIZE = BATCH*@POST@;  // the kernel of own spikes begins at the step before

}  // namespace @UNIT@

static inline double @UNIT@_call(int64_t i, int64_t now, double arrived) {
    using namespace @UNIT@;
    const Plan* plan = the_plan();
    static const int64_t* count = (const int64_t*)map_file("shared/@UNIT@.bin", sizeof(int64_t));
    static const real* kernel = (const real*)(count + 1) + OWN;
    static const int64_t length = *count > OWN ? *count - OWN : 0;
    static std::vector<real> past(SIZE*length);
    if (length == 0) return 0.0;
    const int64_t in_chunk = now % (plan->steps*plan->refine), newest = in_chunk % length;
    real* ring = past.data() + i*length;
    ring[newest] = OWN && in_chunk == 0 ? (real)0 : (real)arrived;
    real total = 0;
    for (int64_t k = 0; k < length && k <= in_chunk; k++) {
        const real value = ring[k <= newest ? newest - k : newest - k + length];
        if (value != 0) total += kernel[k]*value;
    }
    return total;
}
