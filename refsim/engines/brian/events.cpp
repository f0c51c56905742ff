// The spikes of the drive, from the run's file: bits, a row a sample and step; or events a sample, put in order of steps at the start of a chunk.
namespace @CONNECTION@ {

static const int64_t PRE = @PRE@, ROW = (PRE + 7)/8;
@LATER@
static List packed(const Plan* plan, int64_t chunk, int64_t step) {
    static const char* bits = map_file("input.bin", plan->samples*plan->steps*ROW + 8);  // 8 more, so that a word may be read anywhere
    static int32_t* const found = (int32_t*)malloc(sizeof(int32_t)*BATCH*PRE);  // only what is written takes memory
    int32_t* next = found;
    for (int64_t sample = 0; sample < BATCH && chunk*BATCH + sample < plan->samples; sample++) {
        const char* row = bits + ((chunk*BATCH + sample)*plan->steps + step)*ROW;
        __builtin_prefetch(row + 4*plan->steps*ROW);
        __builtin_prefetch(row + 4*plan->steps*ROW + 64);
        for (int64_t first = 0; first < PRE; first += 64) {
            uint64_t word;
            memcpy(&word, row + first/8, 8);
            if (PRE - first < 64) word &= ((uint64_t)1 << (PRE - first)) - 1;
            for (; word; word &= word - 1) *next++ = sample*PRE + first + __builtin_ctzll(word);
        }
    }
    const List list = {found, next};
    return list;
}

static List listed(const Plan* plan, int64_t chunk, int64_t step) {
    static const int64_t* offset = (const int64_t*)map_file("input.bin", sizeof(int64_t)*(plan->samples + 1));
    static const int32_t* steps = (const int32_t*)(offset + plan->samples + 1);
    static const int32_t* inputs = steps + offset[plan->samples];
    static std::vector<int32_t> found;
    static std::vector<int64_t> ends;
    if (step == 0) {  // a sort by counting; the events of a sample lie in order already
        const int64_t low = chunk*BATCH, high = low + BATCH < plan->samples ? low + BATCH : plan->samples;
        found.resize(offset[high] - offset[low]);
        ends.assign(plan->steps + 2, 0);
        for (int64_t e = offset[low]; e < offset[high]; e++) ends[steps[e] + 2]++;
        for (int64_t s = 2; s < plan->steps + 2; s++) ends[s] += ends[s - 1];
        for (int64_t sample = low; sample < high; sample++)
            for (int64_t e = offset[sample]; e < offset[sample + 1]; e++) found[ends[steps[e] + 1]++] = (sample - low)*PRE + inputs[e];
    }
    const List list = {found.data() + ends[step], found.data() + ends[step + 1]};
    return list;
}

static List arrive(const Plan* plan, int64_t chunk, int64_t step) {
    const List list = plan->packed ? packed(plan, chunk, step) : listed(plan, chunk, step);
    return @NOW@;
}

}  // namespace @CONNECTION@
