// The currents of the drive, from the run's file: (sample, frame, input); one frame is held for all steps, else there is one a step.
namespace @CONNECTION@ {

static const int64_t PRE = @PRE@;
@LATER@
static void add(real* __restrict__ out, const Plan* plan, int64_t place, int64_t step, const real* weight) {
    static const real* input = (const real*)map_file("input.bin", sizeof(real)*plan->samples*plan->frames*PRE);
    if (place >= plan->samples) return;
    for (int64_t k = 0; k < PRE; k++) {
        const int64_t then = step - @WAIT@;
        if (then < 0) continue;
        const real value = input[(place*plan->frames + (plan->frames > 1 ? then : 0))*PRE + k];
        if (value == 0) continue;
        const real* __restrict__ row = weight + k*POST;
        for (int64_t m = 0; m < POST; m++) out[m] += value*row[m];
    }
}

}  // namespace @CONNECTION@
