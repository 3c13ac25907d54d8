/* obmalloc: bits of a word. */

#ifndef OBM_BITS_H
#define OBM_BITS_H

#include "obmalloc/compiler.h"

/* Number of the lowest bit set; word must not be 0. */
OBM_INLINE unsigned
obm_lowest_bit(uint64_t word)
{
#if defined(__clang__) || defined(__GNUC__)     /* clang-cl has only the former */
    return (unsigned)__builtin_ctzll(word);
#else
    unsigned bit = 0;
    while (!(word & 1)) {
        word >>= 1;
        bit++;
    }
    return bit;
#endif
}

/* Number of the highest bit set; word must not be 0. */
OBM_INLINE unsigned
obm_highest_bit(uint32_t word)
{
#if defined(__clang__) || defined(__GNUC__)
    return 31u ^ (unsigned)__builtin_clz(word);
#else
    unsigned bit = 0;
    while (word >>= 1) {
        bit++;
    }
    return bit;
#endif
}

OBM_INLINE unsigned
obm_count_bits(uint64_t word)
{
    if ((word & (word - 1)) == 0) {     /* mostly */
        return word != 0;
    }
    uint64_t row = word >> obm_lowest_bit(word);
    if ((row & (row + 1)) == 0 && row != UINT64_MAX) {      /* neighbours */
        return obm_lowest_bit(row + 1);
    }
    word -= word >> 1 & UINT64_MAX / 3;
    word = (word & UINT64_MAX / 15 * 3) + (word >> 2 & UINT64_MAX / 15 * 3);
    word = (word + (word >> 4)) & UINT64_MAX / 255 * 15;
    return (unsigned)(word * (UINT64_MAX / 255) >> 56);
}

#endif /* OBM_BITS_H */
