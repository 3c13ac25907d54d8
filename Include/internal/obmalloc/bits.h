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

OBM_INLINE unsigned
obm_count_bits(uint64_t word)
{
    unsigned count = 0;
    for (; word != 0; word &= word - 1) {
        count++;
    }
    return count;
}

#endif /* OBM_BITS_H */
