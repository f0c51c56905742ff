// Slot "threshold", grid mode: list the neurons whose z is set, as Brian2's own threshold does, without a branch for each neuron.
#ifdef __AVX512F__
#include <immintrin.h>
#endif
static inline double @UNIT@_call(int64_t now) {
    using namespace @UNIT@;
    const int32_t N = BATCH*@POST@;
    const int32_t* z = @FIRED@;
    int32_t* space = @SPIKES@;
    int32_t count = 0, i = 0;
#ifdef __AVX512F__
    const __m512i places = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    for (; i + 16 <= N; i += 16) {  // at most i are listed so far: sixteen more cannot reach beyond the array
        const __m512i word = _mm512_loadu_si512(z + i);
        const __mmask16 fired = _mm512_test_epi32_mask(word, word);
        _mm512_storeu_si512(space + count, _mm512_maskz_compress_epi32(fired, _mm512_add_epi32(places, _mm512_set1_epi32(i))));
        count += __builtin_popcount(fired);
    }
#endif
    for (; i < N; i++) { space[count] = i; count += z[i] != 0; }
    space[N] = count;
    return 0.0;
}
