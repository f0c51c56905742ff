// Slot "record": gather the spikes of a chunk as integers, and at its end append them to three files, sorted by sample, step, neuron.
// A SpikeMonitor would keep every spike until the end of the run, each with a time in seconds that must be turned back into a step.
static inline double @UNIT@_call(int64_t now) {
    using namespace @UNIT@;
    const int64_t POST = @POST@;
    const Plan* plan = the_plan();
    static FILE* files[3] = {fopen("@LAYER@_sample.bin", "wb"), fopen("@LAYER@_step.bin", "wb"), fopen("@LAYER@_neuron.bin", "wb")};
    static std::vector<int32_t> fired, columns[3];
    static std::vector<int64_t> ends, place(BATCH + 1);
    const int64_t length = plan->steps*plan->refine, first = now/length*BATCH;
    const int32_t* space = @SPIKES@;
    fired.insert(fired.end(), space, space + space[BATCH*POST]);
    ends.push_back(fired.size());
    if ((now + 1) % length) return 0.0;
    std::fill(place.begin(), place.end(), 0);
    for (size_t e = 0; e < fired.size(); e++) place[fired[e]/POST + 1]++;
    for (int64_t sample = 0; sample < BATCH; sample++) place[sample + 1] += place[sample];
    const int64_t real_samples = plan->samples - first < BATCH ? plan->samples - first : BATCH;  // the last chunk is filled up with silent ones
    const int64_t kept = place[real_samples];
    for (int c = 0; c < 3; c++) columns[c].resize(fired.size());
    int64_t e = 0;
    for (int64_t step = 0; step < length; step++)
        for (; e < ends[step]; e++) {
            const int32_t sample = fired[e]/POST;
            const int64_t at = place[sample]++;
            columns[0][at] = first + sample; columns[1][at] = step; columns[2][at] = fired[e] - sample*POST;
        }
    bool whole = true;
    for (int c = 0; c < 3; c++) whole &= files[c] && fwrite(columns[c].data(), sizeof(int32_t), kept, files[c]) == (size_t)kept && !fflush(files[c]);
    if (!whole) { fprintf(stderr, "refsim: the spikes of @LAYER@ cannot be written: the disk is full\n"); exit(4); }
    fired.clear(); ends.clear();
    return 0.0;
}
