// What each of refsim's functions inside the Brian2 program needs: the plan of the run, and files of the run's folder.
namespace @UNIT@ {

typedef @REAL@ real;

struct Plan { int64_t chunks, steps, refine, frames, analog_impulse, samples, packed; };

static const int64_t BATCH = @BATCH@;

static const char* map_file(const char* path, size_t at_least) {
    int file = open(path, O_RDONLY);
    struct stat facts;
    if (file < 0 || fstat(file, &facts) != 0 || (size_t)facts.st_size < at_least) {
        fprintf(stderr, "refsim: %s is missing or shorter than %zu bytes\n", path, at_least);
        exit(3);
    }
    void* data = mmap(0, facts.st_size ? facts.st_size : 1, PROT_READ, MAP_PRIVATE, file, 0);
    close(file);
    if (data == MAP_FAILED) { fprintf(stderr, "refsim: %s cannot be mapped\n", path); exit(3); }
    return (const char*)data;
}

static const Plan* the_plan() {
    static const Plan* plan = (const Plan*)map_file("run.bin", sizeof(Plan));
    return plan;
}

}  // namespace @UNIT@
