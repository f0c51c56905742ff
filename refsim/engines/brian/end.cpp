// Slot "end": after the last step of each chunk write each sample's nearest approach to threshold; after the last chunk stop.
static inline double @UNIT@_call(int64_t now) {
    using namespace @UNIT@;
    const Plan* plan = the_plan();
    const int64_t length = plan->steps*plan->refine;
    if ((now + 1) % length) return 0.0;
@FLUSH@
    if ((now + 1)/length == plan->chunks) { @STOP@ }
    return 0.0;
}
