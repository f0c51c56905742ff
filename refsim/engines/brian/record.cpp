// Slot "record": gather the spikes of a chunk as integers, and at its end append their codes, (sample*length + step)*POST + neuron,
// to a file, ascending. A SpikeMonitor would keep every spike until the end of the run, each with a time in seconds.
namespace @UNIT@ {

static const int64_t POST = @POST@;
static std::vector<int32_t> fired;  // of the chunk, in the order of steps
static std::vector<int64_t> ends;   // where each step ends

// A sort by counting: the spikes of each sample stand in the order of steps and neurons already.
template <class Code>
static bool append(FILE* file, int64_t first, int64_t samples, int64_t length) {
    static std::vector<Code> codes;
    std::vector<int64_t> place(BATCH + 1, 0);
    for (size_t e = 0; e < fired.size(); e++) place[fired[e]/POST + 1]++;
    for (int64_t sample = 0; sample < BATCH; sample++) place[sample + 1] += place[sample];
    const size_t kept = place[samples];
    codes.resize(fired.size());
    int64_t e = 0;
    for (int64_t step = 0; step < length; step++)
        for (; e < ends[step]; e++) {
            const int64_t sample = fired[e]/POST;
            codes[place[sample]++] = ((first + sample)*length + step)*POST + (fired[e] - sample*POST);
        }
    return fwrite(codes.data(), sizeof(Code), kept, file) == kept && !fflush(file);
}

}  // namespace @UNIT@

static inline double @UNIT@_call(int64_t now) {
    using namespace @UNIT@;
    const Plan* plan = the_plan();
    static FILE* file = fopen("@LAYER@_spikes.bin", "wb");
    const int64_t length = plan->steps*plan->refine, first = now/length*BATCH;
    const int32_t* space = @SPIKES@;
    fired.insert(fired.end(), space, space + space[BATCH*POST]);
    ends.push_back(fired.size());
    if ((now + 1) % length) return 0.0;
    const int64_t samples = plan->samples - first < BATCH ? plan->samples - first : BATCH;  // the last chunk is filled up with silent ones
    const bool small = plan->samples*length*POST <= (int64_t)1 << 32;
    if (!file || !(small ? append<uint32_t>(file, first, samples, length) : append<uint64_t>(file, first, samples, length))) {
        fprintf(stderr, "refsim: the spikes of @LAYER@ cannot be written: the disk is full\n");
        exit(4);
    }
    fired.clear(); ends.clear();
    return 0.0;
}
