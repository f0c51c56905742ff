// A line of waiting spikes: those fired at step `fired` come out wait[input]*unit steps later, in ascending order.
static const int64_t* wait_of_inputs() {
    static const int64_t* wait = (const int64_t*)map_file("shared/@UNIT@_delay.bin", sizeof(int64_t)*(@FIRST@ + @PRE@)) + @FIRST@;
    return wait;
}

static List later(List list, int64_t fired, int64_t now, int64_t unit) {
    static const int64_t* wait = wait_of_inputs();
    static std::vector<std::vector<int32_t> > line(*std::max_element(wait, wait + PRE)*unit + 1);
    static std::vector<int32_t> out;
    const int64_t size = line.size();
    if (now == 0) for (int64_t slot = 0; slot < size; slot++) line[slot].clear();
    if (fired >= 0) for (; list.at < list.end; list.at++) line[(fired + wait[*list.at % PRE]*unit) % size].push_back(*list.at);
    out.clear();
    out.swap(line[now % size]);
    std::sort(out.begin(), out.end());
    const List due = {out.data(), out.data() + out.size()};
    return due;
}
