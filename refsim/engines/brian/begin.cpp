// Slot "start": at the first step of each chunk put parameters and states of all layers to their start.
static inline double @UNIT@_call(int64_t now) {
    using namespace @UNIT@;
    const Plan* plan = the_plan();
    static const real* values = (const real*)map_file("shared/values.bin", sizeof(real)*@VALUES@);
    if (now % (plan->steps*plan->refine)) return 0.0;
    const real* next = values;
    if (now == 0) @CLOCK@[0] = *(const double*)map_file("shared/dt.bin", sizeof(double));
@FILL@
    return 0.0;
}
