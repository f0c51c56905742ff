// A random number of one neuron at one (sub-)step: Philox 4x32-10 (Salmon et al. 2011), the same numbers as refsim/philox.py.
// It depends on (seed, layer, sample, step, neuron) alone, so that chunks, processes and order do not change it.
namespace @UNIT@ {

static void philox(uint32_t* counter, uint32_t first, uint32_t second) {
    for (int round = 0; round < 10; round++) {
        const uint64_t left = 0xD2511F53ULL*counter[0], right = 0xCD9E8D57ULL*counter[2];
        counter[0] = (uint32_t)(right >> 32) ^ counter[1] ^ first;
        counter[1] = (uint32_t)right;
        counter[2] = (uint32_t)(left >> 32) ^ counter[3] ^ second;
        counter[3] = (uint32_t)left;
        first += 0x9E3779B9U; second += 0xBB67AE85U;
    }
}

}  // namespace @UNIT@

static inline double @UNIT@_call(int64_t i, int64_t now) {
    using namespace @UNIT@;
    const Plan* plan = the_plan();
    static const int64_t* seed = (const int64_t*)map_file("samples.bin", sizeof(int64_t)*(1 + plan->chunks*BATCH));
    const int64_t length = plan->steps*plan->refine, sample = seed[1 + now/length*BATCH + i/@POST@];
    uint32_t counter[4] = {(uint32_t)(i % @POST@), (uint32_t)(now % length), (uint32_t)sample, @STREAM@U};
    philox(counter, (uint32_t)seed[0], (uint32_t)((uint64_t)seed[0] >> 32));
    const uint64_t bits = ((uint64_t)(counter[0] >> 5) << 26) | (counter[1] >> 6);
    return sizeof(real) == 4 ? (double)(bits >> 29)/16777216.0 : (double)bits/9007199254740992.0;  // cut, so that none becomes 1
}
