// The spikes of a layer, straight from Brian2's array: of this step where the layer has run already, else of the step before.
namespace @CONNECTION@ {

static const int64_t PRE = @PRE@, AGE = @AGE@;
@LATER@
static List arrive(const Plan* plan, int64_t in_chunk) {
    const int32_t* space = @SPIKES@;
    const List list = {space, space + space[BATCH*PRE]};
    return @NOW@;
}

}  // namespace @CONNECTION@
